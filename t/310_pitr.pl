# Point-in-time recovery against an oracle: archiving and a base backup run under load; every target that a user can give
# brings back exactly the rows that were committed up to it.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use Pitr;
use PitrS3;
use POSIX qw(strftime);

# Every pair of two values of different columns stands in one row; make check-full takes every combination.
my @rows = (
	# version, storage, key, codec, backup from
	[ 15, 'directory', 0, 'lz4',  'primary' ],
	[ 15, 's3',        1, 'zstd', 'standby' ],
	[ 17, 'directory', 1, 'zstd', 'primary' ],
	[ 17, 's3',        0, 'lz4',  'standby' ],
	[ 18, 'directory', 0, 'zstd', 'standby' ],
	[ 18, 's3',        1, 'lz4',  'primary' ],
);
if (is_full_run()) {
	@rows = ();
	for my $version (pg_versions()) { for my $storage ('directory', 's3') { for my $key (0, 1) {
		for my $codec ('none', 'lz4', 'zstd') { for my $from ('primary', 'standby') {
			push @rows, [ $version, $storage, $key, $codec, $from ] } } } } }
}
my %wanted = map { $_ => 1 } pg_versions();
@rows = grep { $wanted{ $_->[0] } } @rows;

my $seed = $ENV{TEST_PITR_SEED} // time;
srand $seed;
note("TEST_PITR_SEED=$seed");
my $s3 = grep({ $_->[1] eq 's3' } @rows) ? PitrS3->start(dir => directory('s3')) : undef;
$s3->create_bucket('backups') if $s3;
my $number = 0;
run_row(++$number, @$_) for @rows;
done_testing();

# --------------------------------------------------------------------------------------------------------------------

sub repository {
	my ($name, $storage, $key, $codec) = @_;
	return repo($name, key => $key, compress => $codec) if $storage eq 'directory';
	my %env = $s3->env;
	return repo($name, key => $key, compress => $codec, url => "s3://backups/$name",
		settings => { 's3-endpoint' => $s3->endpoint, 's3-ca-file' => $s3->ca_file, 's3-region' => $s3->region,
			's3-addressing' => 'path' },
		env => { map { $_ => $env{$_} } grep { /^AWS_/ } keys %env });
}

sub standby_space { my ($space) = @_; return directory("standby$number/" . ($space =~ s/.*\///r)) }

# A streaming standby beside the primary: its tablespaces need places of their own.
sub standby_of {
	my ($node, @spaces) = @_;
	my $name = $node->name . '_standby';
	my $standby = Pitr::Cluster->new($name, install_path => $node->install_path);
	$standby->{pitr_version} = $node->version;
	my @mapping = map { ('-T', "$_=" . standby_space($_)) } @spaces;
	run_ok([ $node->bin . '/pg_basebackup', $node->connection, '-D', $standby->data_dir, '-X', 'stream', '-R',
		'--checkpoint=fast', @mapping ], 'a standby is made');
	$standby->own_address;
	$standby->append_conf('postgresql.conf', "archive_mode = off\nhot_standby = on\n");
	$standby->start;
	return $standby;
}

sub run_row {
	my ($row, $version, $storage, $key, $codec, $from) = @_;
	my $title = join ', ', "PostgreSQL $version", $storage, $key ? 'key' : 'no key', $codec, "from a $from";
	my $repo  = repository("row$row", $storage, $key, $codec);
	my $node  = cluster("row$row", version => $version, repo => $repo, log_commits => 1);
	my @spaces = map { directory("spaces$row/$_") } 'one', 'two';
	$node->query("CREATE TABLESPACE one LOCATION '$spaces[0]'");
	$node->query("CREATE TABLESPACE two LOCATION '$spaces[1]'");
	$node->query('CREATE TABLE in_one TABLESPACE one AS SELECT g AS id FROM generate_series(1, 2000) g');
	$node->query('CREATE TABLE in_two TABLESPACE two AS SELECT g AS id FROM generate_series(1, 3000) g');
	my $oracle  = oracle($node);
	my $standby = $from eq 'standby' ? standby_of($node, @spaces) : undef;

	# The backup is taken while the load runs and WAL is archived.
	my $finished = $oracle->load_in_background(seconds => 4, rate => 150);
	my @source = $standby ? ($standby->connection, '--primary', join ' ', 'host=' . $node->host, 'port=' . $node->port)
	  : $node->connection;
	run_ok([ 'pitr-basebackup', $repo->options, @source, '--checkpoint=fast' ], "$title: a base backup under load",
		env => $repo->env, timeout => 120);
	$finished->();
	my ($backup) = @{ run_json([ 'pitr-catalog', $repo->options, '--json', 'list' ], 'the backup is listed',
		env => $repo->env)->{backups} };
	$oracle->load(seconds => 1, rate => 150);
	my $point_lsn = $node->query("SELECT pg_create_restore_point('before the change')");
	$oracle->load(seconds => 1, rate => 150);
	$standby->stop if $standby;
	my @places = $standby ? map({ standby_space($_) } @spaces) : @spaces;    # as the backup knows them
	$node->archive_all;
	$oracle->commits;
	$node->archive_all;
	$node->stop;

	my $pick = sub { $oracle->commit_at(rand(), after => $backup->{stop_lsn}) };
	# A time must lie behind the moment at which the backup ended; on a standby that is later than its last LSN.
	my $ended = sprintf '%s.%06d+00', strftime('%Y-%m-%d %H:%M:%S', gmtime int($backup->{finished_us} / 1_000_000)),
	  $backup->{finished_us} % 1_000_000;
	my $pick_later = sub { my $commit; do { $commit = $pick->() } until $commit->{time} gt $ended; $commit };
	my ($time, $exact, $xid, $lsn) = ($pick_later->(), $pick_later->(), $pick->(), $pick->());
	my @targets = (
		[ [ '--target-time', $time->{time} ],                       { time => $time->{time} } ],
		[ [ '--target-time', $exact->{time}, '--target-exclusive' ], { time => $exact->{time}, exclusive => 1 } ],
		[ [ '--target-xid', $xid->{xid} ],                          { xid => $xid->{xid} } ],
		[ [ '--target-lsn', $lsn->{lsn} ],                          { lsn => $lsn->{lsn} } ],
		[ [ '--target-name', 'before the change' ],                 { before_lsn => $point_lsn } ],
		[ ['--target-immediate'],                                   { before_lsn => $backup->{stop_lsn} } ],
		[ [],                                                       { latest => 1 } ],
	);
	# Four of the seven in each row, other ones in each; all in a full run.
	@targets = @targets[ map { ($row + 2 * $_) % 7 } 0 .. 3 ] unless is_full_run();
	my $try = 0;
	for my $target (@targets) {
		my ($options, $expected) = @$target;
		my $name = "row${row}_" . ++$try;
		my @mapping = map { ('-T', "$_=" . "$Pitr::TEST_DIRECTORY/$name/" . ($_ =~ s/.*\///r)) } @places;
		mkdir "$Pitr::TEST_DIRECTORY/$name", 0700;
		my $copy = restore($name, source => $node, repo => $repo, target => $options, options => \@mapping) or next;
		$copy->is_gone and next;
		is_restored_to($copy, $oracle, $expected, "$title: @$options: the rows are right");
		is($copy->query('SELECT (SELECT count(*) FROM in_one), (SELECT count(*) FROM in_two)'), '2000|3000',
			'… and so are the tablespaces');
		$copy->stop;
		File::Path::remove_tree($copy->basedir, "$Pitr::TEST_DIRECTORY/$name");
	}
}
