# pitr-basebackup: what is listed is whole, and whatever goes wrong is said in a sentence and leaves nothing to list.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use IO::Socket::INET;
use Pitr;

my @fast = ('--checkpoint=fast', '--wal-timeout=60s');

# Labels of what pitr-catalog lists.
sub listed {
	my ($repo) = @_;
	my $list = run_json([ 'pitr-catalog', $repo->options, 'list', '--json' ], 'the catalog is read');
	return map { $_->{label} } @{ ref $list eq 'ARRAY' ? $list : $list->{backups} };
}

# --- every version: byte for byte ---------------------------------------------------------------------------------------
for my $version (pg_versions()) {
	# Encrypted with the newest one; a backup needs the host's key only.
	my $is_encrypted = $version == newest_version();
	my $repo = repo("version$version", $is_encrypted ? (key => 1) : ());
	my @key  = $is_encrypted ? ('--key-file=' . $repo->key . '.host') : ();
	my $node = cluster("version$version", version => $version, repo => $repo);
	my $place = directory("tablespace$version");
	my $moved = directory("moved$version");
	my $extra = directory("extra$version");
	write_file("$extra/pg_ident.conf", "# kept\n" x 1000);
	write_file("$extra/empty", '');
	symlink '/nonexistent/there', "$extra/link" or die;
	mkdir "$extra/directory" or die;
	$node->query("CREATE TABLESPACE elsewhere LOCATION '$place'");
	$node->query($_)
	  for 'CREATE TABLE far TABLESPACE elsewhere AS SELECT g AS id FROM generate_series(1, 50000) g',
	  'CREATE UNLOGGED TABLE unlogged AS SELECT g AS id FROM generate_series(1, 1000) g', 'VACUUM FREEZE far';

	my $fact = run_json([ 'pitr-basebackup', $repo->options, @key, $node->connection, @fast, '--json', "--include=$extra",
			'--label=it\'s a "label"', '--note=before the upgrade' ],
		"version $version: a backup is taken");
	is_deeply([ listed($repo) ], [ $fact->{label} ], '… and listed');
	is($fact->{name}, 'it\'s a "label"', '… under its label');
	is($fact->{note}, 'before the upgrade', '… with its note');
	is($fact->{tablespaces}[0]{path}, $place, '… and where the tablespace was');
	is(int($fact->{server_version} / 10000), $version, '… and the version of the server');
	is(scalar(my @all = $repo->objects(qr{/\Q$fact->{label}\E/})), 4, '… in four objects: a pack, manifest, relation map, entry');

	my $copy = restore("copy$version", source => $node, repo => $repo, start => 0,
		options => [ '-T', "$place=$moved", '--included-to', "$moved-included" ]);
	# What a restore must change is left out: where tablespaces are, and the address of this test's server.
	run_ok([ $node->bin . '/pg_verifybackup', '-n', '-i', 'tablespace_map', '-i', 'postgresql.conf', '-i', 'pitr.branch',
		'-i', 'pitr.restore', '-i', 'pitr.catalog', $copy->data_dir ],
		'… which PostgreSQL finds right, byte for byte, when it is restored');
	is(substr(read_file($copy->data_dir . '/postgresql.conf'), 0, -s $node->data_dir . '/postgresql.conf'),
		read_file($node->data_dir . '/postgresql.conf'), '… and postgresql.conf as well');
	like(read_file($copy->data_dir . '/backup_label'), qr/^LABEL: it's a "label"$/m, '… with its own backup_label');
	ok(-d $copy->data_dir . "/$_", "… and the empty directory $_") for qw(pg_wal pg_replslot pg_notify);
	my $there = "$moved-included$extra";
	is(read_file("$there/pg_ident.conf"), read_file("$extra/pg_ident.conf"), '… and the file given with --include');
	ok(-e "$there/empty" && -z _ && -d "$there/directory", '… an empty one and an empty directory among them');
	is(readlink "$there/link", '/nonexistent/there', '… and links as links');
	$node->stop;
}

# --- refused before it begins ---------------------------------------------------------------------------------------
my $repo = repo('main', settings => { memory => '32MB' });
my $node = cluster('source', repo => $repo, log_commits => 1);
my @backup = ('pitr-basebackup', $repo->options, @fast);
$node->query($_) for 'CREATE ROLE plain LOGIN', 'CREATE ROLE backup LOGIN REPLICATION', 'CREATE ROLE refused LOGIN REPLICATION';
write_file($node->data_dir . '/pg_hba.conf', "local all refused reject\nlocal replication refused reject\nlocal all all trust\n"
	. "local replication all trust\n");
$node->reload;
$node->archive_all;
my $untouched = $repo->contents;

my $silent = IO::Socket::INET->new(Listen => 5, LocalAddr => '127.0.0.1', Proto => 'tcp') or die "could not listen: $!\n";
my @refusals = (
	[ 'a role without REPLICATION', 1, qr/superuser|permission denied/, qr/ALTER ROLE plain REPLICATION/,
		$node->connection, '-U', 'plain' ],
	[ 'a role that does not exist', 1, qr/role "nobody" does not exist/, qr/CREATE ROLE nobody LOGIN REPLICATION/,
		$node->connection, '-U', 'nobody' ],
	[ 'no line in pg_hba.conf', 1, qr/pg_hba\.conf/, qr/"local replication refused \w+" at the beginning of pg_hba\.conf/, $node->connection, '-U', 'refused' ],
	[ 'no server there', 1, qr/could not connect/, qr/Check that the server runs/, '-h', $node->host, '-p', $node->port + 1 ],
	[ 'a server that says nothing', 1, qr/did not answer within 2 s/, qr/connect_timeout/, '-d',
		'connect_timeout=2 host=127.0.0.1 port=' . $silent->sockport ],
	[ 'a connection string that is none', 2, qr/cannot be read: invalid connection option "hots"/, qr/host=db1/, '-d', 'hots=x' ],
	[ 'a label of two lines', 2, qr/label has a control character/, qr//, $node->connection, '-l', "a\nb" ],
	[ 'a label that is too long', 2, qr/label is longer than 255 bytes/, qr//, $node->connection, '-l', 'x' x 256 ],
	[ 'a service that is not known', 1, qr/"nowhere"/, qr//, '-d', 'service=nowhere' ],
);
for my $refusal (@refusals) {
	my ($title, $status, $says, $hint, @options) = @$refusal;
	my $said = run_fails([ @backup, @options ], $status, qr/^pitr-basebackup: error: .*$says/m, "$title: $status, and says so");
	like($said, qr/^pitr-basebackup: hint: .*$hint/m, '… with a hint') if "$hint" ne qr//;
	is(() = $said =~ /error:/g, 1, '… once');
}

my $stranger = repo('stranger');
run_fails([ 'pitr-basebackup', $stranger->options, @fast, $node->connection ], 1, qr/is empty.*pitr-catalog init/s,
	'a repository that was never initialised: 1, and how to');
is_deeply([ $stranger->objects ], [], '… and nothing is written there');

my $settings_refused = sub {
	my ($title, $says, $hint, %settings) = @_;
	my $conf = join '', map { "$_ = $settings{$_}\n" } sort keys %settings;
	my $kept = read_file($node->data_dir . '/postgresql.conf');
	$node->append_conf('postgresql.conf', $conf);
	$node->restart;
	my $said = run_fails([ @backup, $node->connection ], 2, qr/^pitr-basebackup: error: .*$says/m, "$title: 2, before anything is read");
	like($said, qr/^pitr-basebackup: hint: .*$hint/m, '… with what to set');
	write_file($node->data_dir . '/postgresql.conf', $kept);
	$node->restart;
};
$settings_refused->('archive_mode = off', qr/archive_mode of the server is off/, qr/archive_mode = on.*pitr-archive %p/, archive_mode => 'off');
$settings_refused->('no archive_command', qr/archive_command of the server is empty/, qr/pitr-archive %p/, archive_command => "''");
$settings_refused->('wal_level = minimal', qr/max_wal_senders/, qr/wal_level = replica/,
	wal_level => 'minimal', max_wal_senders => 0, archive_mode => 'off');
is_deeply([ grep { !m{/(?:wal|fact/run)/} } $repo->objects ], [ grep { !m{/wal/} } sort keys %$untouched ],
	'none of all this left anything but that it failed');
isnt(scalar(my @told = $repo->objects(qr{/fact/run/})), 0, '… which is a fact for pitr-check');

# --- WAL that does not come -------------------------------------------------------------------------------------------
$node->query($_) for "ALTER SYSTEM SET archive_command = 'false'", 'SELECT pg_reload_conf()';
my $said = run_fails([ @backup, $node->connection, '--wal-timeout=3s' ], 1,
	qr/WAL file "[0-9A-F]{24}", which the backup needs, did not come .* within 3 s/, 'WAL that does not come: 1, and which file');
like($said, qr/its archiver failed with [0-9A-F]{24} at \d{4}-/, '… and what the server says about it');
like($said, qr/hint: .*pg_stat_archiver/, '… with a hint');
is_deeply([ listed($repo) ], [], '… and nothing is listed');
$node->query($_) for 'ALTER SYSTEM RESET archive_command', 'SELECT pg_reload_conf()';
$node->archive_all;

# --- WAL that comes late, and a repository that is away meanwhile ------------------------------------------------------
{
	$node->query($_) for "ALTER SYSTEM SET archive_command = 'false'", 'SELECT pg_reload_conf()';
	my ($stdout, $stderr) = ('', '');
	my $run = IPC::Run::start([ "$Pitr::BIN/pitr-basebackup", @backup[ 1 .. $#backup ], $node->connection, '--json' ], '>', \$stdout, '2>', \$stderr);
	ok(wait_until(sub { $run->pump_nb; $stderr =~ /waiting for the WAL file/ }, 30), 'a backup waits for its WAL');
	my $away = $repo->path . '.away';
	rename $repo->path, $away or die "could not rename: $!\n";
	sleep 5;
	ok($run->pumpable, '… also while the repository is not mounted');
	rename $away, $repo->path or die "could not rename: $!\n";
	my $came_us = time * 1000000;
	$node->query($_) for 'ALTER SYSTEM RESET archive_command', 'SELECT pg_reload_conf()', 'SELECT pg_switch_wal()';
	$run->finish;
	is($?, 0, '… and succeeds when it has come') or diag $stderr;
	is(() = $stderr =~ /^pitr-basebackup: warning: could not look for the WAL of the backup: .*is it mounted/mg, 1, '… having warned once');
	unlike($stderr, qr/clock/, '… and found nothing wrong with the clock');
	my ($label) = listed($repo);
	my @packs = $repo->objects(qr{/pack/\Q$label\E/});
	my $stored = 0;
	$stored += -s $repo->path . "/$_" for @packs;
	# With so little memory, packs of 1 MiB; one whose frames did better than expected measures less.
	ok(@packs > 2 && @packs <= 2 * $stored / 2**20 + 2, '… in packs that are cut by what they measure in the repository')
	  or diag scalar @packs, " packs of $stored bytes";
	my $fact = run_json([ 'pitr-catalog', $repo->options, 'show', $label, '--json' ], '… the fact can be shown');
	ok($fact->{finished_us} > $fact->{started_us} && $fact->{finished_us} < $came_us - 4_000_000,
		'… and ended when the server had ended it, not when its WAL had come');
	unlink map { $repo->path . "/$_" } grep { m{/backup/} } $repo->objects;
	$node->archive_all;
}

# --- interrupted --------------------------------------------------------------------------------------------------------
# Starts a slow backup, does something when the first packs are there, and returns its status and messages.
sub interrupted {
	my ($from, $what, @options) = @_;
	my $packs = grep { m{/pack/} } $repo->objects;
	my ($stdout, $stderr) = ('', '');
	my $run = IPC::Run::start([ "$Pitr::BIN/pitr-basebackup", @backup[ 1 .. $#backup ], '-h', $from->host, '-p', $from->port, '--max-rate=4MB', @options ],
		'>', \$stdout, '2>', \$stderr);
	ok(wait_until(sub { (grep { m{/pack/} } $repo->objects) > $packs + 1 }, 60), 'a slow backup is under way');
	$what->($run);
	eval { $run->finish };
	print map { "# ! $_\n" } split /\n/, $stderr;
	return ($?, $stderr);
}

my ($status) = interrupted($node, sub { $_[0]->signal('KILL') });
is($status & 127, 9, 'a backup is killed on its way');
is_deeply([ listed($repo) ], [], '… and nothing is listed');
run_fails([ 'pitr-restore', $repo->options, '--dry-run', '-D', "$Pitr::TEST_DIRECTORY/nothing" ], 2, qr/there is no base backup/,
	'… nor restored');
($status) = interrupted($node, sub { $_[0]->signal('TERM') });
is($status & 127, 15, 'one that is terminated dies of it');
is_deeply([ listed($repo) ], [], '… and nothing is listed');

($status, $said) = interrupted($node, sub { $node->query("SELECT pg_terminate_backend(pid) FROM pg_stat_replication") });
is($status >> 8, 1, 'the server ends the connection: 1');
like($said, qr/error: could not take the base backup: .*terminat/, '… and says why');
is_deeply([ listed($repo) ], [], '… and nothing is listed');

($status, $said) = interrupted($node, sub { $node->stop('immediate') });
is($status >> 8, 1, 'the server dies: 1');
like($said, qr/error: could not take the base backup: /, '… and it is said');
$node->start;
is_deeply([ listed($repo) ], [], '… and nothing is listed');

# --- damaged pages ------------------------------------------------------------------------------------------------------
$node->query($_) for 'CREATE TABLE pages AS SELECT g AS id, repeat(\'x\', 500) AS text FROM generate_series(1, 1000) g', 'CHECKPOINT';
my $file = $node->query(q{SELECT pg_relation_filepath('pages')});
$node->stop;
damage($node->data_dir . "/$file", 'flip', offset => 3 * 8192 + 8000);
damage($node->data_dir . "/$file", 'flip', offset => 5 * 8192 + 8000);
$node->start;
my ($stdout, $stderr);
($status, $stdout, $stderr) = run_program([ @backup, $node->connection, '--json' ]);
is($status, 1, 'two damaged pages: 1');
like($stderr, qr/^pitr-basebackup: warning: page checksum failure in file "\Q$file\E", block 3$/m, '… the first is named');
like($stderr, qr/^pitr-basebackup: warning: page checksum failure in file "\Q$file\E", block 5$/m, '… and the second');
unlike($stderr, qr/could not be read again/, '… having been read again');
like($stderr, qr/error: the backup \S+ is complete, but 2 pages in it have a wrong checksum/, '… and what it means');
require JSON;
is(JSON::decode_json($stdout)->{checksum_failures}, 2, '… the fact counts them');
is_deeply([ listed($repo) ], [ JSON::decode_json($stdout)->{label} ], '… and the backup is listed');
$said = run_fails([ @backup, $node->connection, '-U', 'backup' ], 1, qr/2 pages in it have a wrong checksum/,
	'a role that may not read files finds them too');
like($said, qr/could not be read again.*permission denied/, '… and says that it could not look twice');
$node->query('DROP TABLE pages');

# --- under load ---------------------------------------------------------------------------------------------------------
my $oracle = oracle($node);
my $finish = $oracle->load_in_background(seconds => 6);
($status, undef, $stderr) = run_program([ @backup, $node->connection, '--max-rate=16MB' ]);
is($status, 0, 'a server that is written to: pages that are being changed are no damage');
unlike($stderr, qr/checksum/, '… and nothing is said of them');
$finish->();

# --- from a standby -----------------------------------------------------------------------------------------------------
$node->backup('basis');
my $standby = PostgreSQL::Test::Cluster->new('standby', install_path => $node->install_path);
$standby->init_from_backup($node, 'basis', has_streaming => 1);
$standby->start;
my @from_standby = ('-h', $standby->host, '-p', $standby->port);

# Pages that the standby has written although the segment of their WAL is not over.
$node->query($_) for 'CREATE TABLE recent AS SELECT g AS id FROM generate_series(1, 1000) g', 'CHECKPOINT';
$node->wait_for_catchup($standby);
$standby->safe_psql('postgres', 'CHECKPOINT');
$said = run_fails([ @backup, @from_standby, '--wal-timeout=2s' ], 1, qr/did not come/, 'a standby of an idle primary: 1');
like($said, qr/hint: .*--primary CONNINFO/, '… and what would help');
my @primary = ('--primary', 'host=' . $node->host . ' port=' . $node->port);
my $fact = run_json([ @backup, @from_standby, @primary, '--json' ], 'with --primary it succeeds');
ok($fact->{from_standby}, '… and the fact says that it is from a standby');
my $restored = restore('from_standby', source => $node, repo => $repo, options => [ '--backup', $fact->{label} ]);
is($restored->safe_psql('postgres', 'SELECT count(*) FROM recent'), 1000, '… and can be restored');
$restored->stop;

run_fails([ @backup, @from_standby, '--primary', 'host=' . $standby->host . ' port=' . $standby->port ], 2,
	qr/--primary: that server is a standby itself/, 'a standby given as the primary: 2, before the backup');
run_fails([ @backup, @from_standby, '--primary', "$primary[1] user=plain" ], 1, qr/--primary: the role may not switch/,
	'a role that may not switch: 1, before the backup');
my $other = cluster('other', conf => "archive_mode = on\narchive_command = 'true'\n");
run_fails([ @backup, @from_standby, '--primary', 'host=' . $other->host . ' port=' . $other->port ], 2,
	qr/another cluster/, 'the primary of another cluster: 2, before the backup');
run_fails([ 'pitr-basebackup', $repo->options, @fast, $other->connection ], 2, qr/cluster/,
	'another cluster into this repository: 2');
$other->stop;

my @before = listed($repo);
($status, $said) = interrupted($standby, sub { $standby->promote }, @primary);
is($status >> 8, 1, 'a standby that is promoted meanwhile: 1');
like($said, qr/error: .*promoted/, '… and says so');
is_deeply([ listed($repo) ], \@before, '… and nothing more is listed');

# --- a later timeline ---------------------------------------------------------------------------------------------------
$node->stop;
$fact = run_json([ @backup, @from_standby, '--json' ], 'a backup of the promoted server is taken');
is($fact->{start_timeline}, 2, '… on timeline 2');
ok((grep { /00000002\.history$/ } $repo->objects), '… whose history is in the repository');

$standby->stop;

# --- the primary of a backed up standby is lost --------------------------------------------------------------------------
# Its last segment is never archived. That of the standby that is promoted instead has the same WAL in it.
{
	my $repo    = repo('lost');
	my $lost    = cluster('lost', repo => $repo);
	my %standby = map { $_ => PostgreSQL::Test::Cluster->new($_, install_path => $lost->install_path) } qw(backed_up promoted);
	$lost->backup('basis');
	for my $standby (values %standby) {
		$standby->init_from_backup($lost, 'basis', has_streaming => 1);
		$standby->start;
	}
	$lost->query('CREATE TABLE kept AS SELECT g AS id FROM generate_series(1, 1000) g');
	$lost->query('CHECKPOINT');
	$lost->wait_for_catchup($_) for values %standby;
	$_->safe_psql('postgres', 'CHECKPOINT') for values %standby;
	my ($stdout, $stderr) = ('', '');
	my $run = IPC::Run::start([ "$Pitr::BIN/pitr-basebackup", $repo->options, @fast, '-h', $standby{backed_up}->host, '-p', $standby{backed_up}->port,
			'--json' ], '>', \$stdout, '2>', \$stderr);
	ok(wait_until(sub { $run->pump_nb; $stderr =~ /waiting for the WAL file/ }, 30), 'a backup of a standby waits for the primary');
	$lost->stop('immediate');
	$standby{promoted}->promote;
	$standby{promoted}->safe_psql('postgres', 'SELECT pg_switch_wal()');
	$run->finish;
	is($?, 0, '… which dies; another standby is promoted, and the backup succeeds') or diag $stderr;
	my $fact = JSON::decode_json($stdout);
	is($fact->{stop_timeline}, 1, '… having ended on timeline 1');
	ok(!(grep { /00000001\Q@{[ substr $standby{promoted}->safe_psql('postgres', "SELECT pg_walfile_name('$fact->{stop_lsn}')"), 8 ]}\E$/ } $repo->objects),
		'… whose last segment is not there');
	my $restored = restore('after_loss', source => $lost, repo => $repo, options => [ '--backup', $fact->{label} ]);
	is($restored->safe_psql('postgres', 'SELECT count(*) FROM kept'), 1000, '… and it can be restored');
	$restored->stop;
	$_->stop for values %standby;
}

done_testing();
