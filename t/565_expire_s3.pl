# Removing from S3: what the server refuses stays whole and is named with the server's reason, and listings that are empty, that repeat
# themselves or that are of earlier remove nothing that is needed.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";
use Pitr;
use PitrFault;
use PitrS3;

my $s3 = PitrS3->start(dir => directory('s3'));
$s3->create_bucket('backups');
my $fault = PitrFault->start($s3->http_port);
my %aws = $s3->env;
my %env = map { $_ => $aws{$_} } grep { /^AWS_/ } keys %aws;
my %settings = ('s3-endpoint' => $fault->endpoint, 's3-region' => $s3->region, 's3-addressing' => 'path', 'retry-for' => '5s');
my $repo = repo('main', url => 's3://backups/here', key => 1, settings => \%settings, env => \%env);
my $node = cluster('source', repo => $repo, initdb => ['--wal-segsize=1']);
my @catalog = ('pitr-catalog', $repo->options, '--json', 'list');
my @expire  = ('pitr-expire', $repo->options, '--json', '--keep-last=1');

sub listed { return [ map { $_->{label} } @{ run_json([@catalog], 'what is listed', env => \%env)->{backups} } ] }

# Status and the answer of a run.
sub expire {
	my (@more) = @_;
	my ($status, $stdout, $stderr) = run_program([ @expire, @more ], env => \%env);
	return ($status, $stdout =~ /^\{/ ? JSON::decode_json($stdout) : {}, $stderr);
}

sub backup_take {
	$node->query('CREATE TABLE IF NOT EXISTS t AS SELECT 1');
	$node->archive_all;
	run_ok([ 'pitr-basebackup', $repo->options, $node->connection, '--checkpoint=fast' ], 'a backup', env => \%env);
	$node->archive_all;
	return;
}

# Key => "<Contents>...", as the server itself says.
sub stored {
	my ($status, $answer) = $s3->request('GET', '/backups?list-type=2');
	my ($head, $body) = split /\r\n\r\n/, $answer, 2;
	$body = PitrFault::join_chunks($body) if $head =~ /^Transfer-Encoding:/mi;
	die "the server does not say what there is: $answer\n" unless $body =~ m{<IsTruncated>false};
	return { map { m{<Key>(.*?)</Key>} ? ($1 => $_) : () } $body =~ m{<Contents>.*?</Contents>}sg };
}

# What a run does whose listings lie: its status, what is gone then, what it says.
sub expire_deceived {
	my ($lie, @more) = @_;
	my $before = stored();
	$fault->order({ match => '^GET .*list-type=2', %$lie, do => 'relist', times => 0 });
	my ($status, $said, $stderr) = expire('--apply', @more);
	$fault->order;
	my $after = stored();
	return ($status, [ sort grep { !$after->{$_} } keys %$before ], $stderr);
}

sub can_be_restored {
	my ($title, @labels) = @_;
	run_ok([ 'pitr-restore', $repo->options, '--dry-run', "--backup=$_" ], "$title: $_ can be restored", env => \%env) for @labels;
	return;
}

backup_take() for 1 .. 2;
my $all = listed();
my $former = stored();

# --- a listing without anything

my $empty = '<?xml version="1.0" encoding="UTF-8"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
  . '<Name>backups</Name><Prefix></Prefix><KeyCount>0</KeyCount><MaxKeys>1000</MaxKeys><IsTruncated>false</IsTruncated></ListBucketResult>';
my $lie = { match => 'list-type=2', do => 'answer', status => 200, body => $empty, times => 1000 };
$fault->order({ %$lie, match => 'GET (?=.*list-type=2)(?=.*(?:wal|pack|manifest))', times => 1000 });
my ($status, $said) = expire('--apply');
is_deeply($said->{removed} // 0, 0, "WAL and packs are not listed: nothing is removed (status $status)");
$fault->order($lie);
($status, $said) = expire('--apply', '--system=' . $node->query('SELECT system_identifier FROM pg_control_system()'));
is_deeply([ $status, $said->{removed} // 0 ], [ 0, 0 ], 'nothing is listed: nothing is removed');
$fault->order;
is_deeply(listed(), $all, 'all is there');

# --- what is locked

my $locked = sub {
	my ($what) = @_;
	return { match => "^DELETE \\S*$what", do => 'answer', status => 403, times => 1000,
		body => '<Error><Code>AccessDenied</Code><Message>Object is WORM protected and cannot be overwritten</Message></Error>' };
};
$fault->order($locked->('complete'));
($status, $said, my $stderr) = expire('--apply');
is($status, 1, 'the entry of the catalog is locked');
like($stderr, qr/1 objects could not be removed: .*WORM protected/s, 'it is said what the server says');
like($said->{refused}[0]{key} // '', qr{/backup/\Q$all->[0]\E/complete$}, 'and of what');
is(scalar(grep { $_->{goes} } @{ $said->{backups} }), 0, 'then the backup stays');
$fault->order;
is_deeply(listed(), $all, 'it is listed');
my $one = restore('locked', source => $node, repo => $repo, options => [ '--backup', $all->[0], '--target-immediate' ]);
is($one->query('SELECT count(*) FROM t'), 1, 'and can be restored');
$one->stop;

$fault->order($locked->('/pack/'));
($status, $said, $stderr) = expire('--apply');
is($status, 1, 'packs are locked');
ok($said->{refused_count} > 0 && $said->{removed} > 0, 'they stay, the others go');
$fault->order;
is_deeply(listed(), [ $all->[1] ], 'the backup is not listed any more');
($status, $said) = expire('--apply');
is_deeply([ $status, $said->{refused_count}, scalar @{ $said->{unfinished} } ], [ 0, 0, 1 ], 'when they are free they go');
($status, $said) = expire();
is_deeply([ $status, $said->{objects}, scalar @{ $said->{unfinished} } ], [ 0, 0, 0 ], 'nothing is left');

# --- listings that repeat themselves

backup_take();
my $now = listed();
my ($old, $new) = @$now;
is(scalar @$now, 2, 'one more backup');
my (undef, $honest) = expire();
$fault->order({ match => '^GET .*list-type=2', do => 'relist', times => 0, size => 3 });
my (undef, $paged) = expire();
$fault->order;
is_deeply([ @$paged{qw(objects backups)} ], [ @$honest{qw(objects backups)} ], 'listings of many pages: the same plan');
for my $lie ([ 'every key twice', { twice => 'key' } ], [ 'a page twice', { twice => 'page' } ],
	[ 'small pages with every key twice', { twice => 'key', size => 3 } ],
	[ 'the first page again and again', { stuck => 1, size => 3, show => [ values %{ stored() } ] } ],
	[ 'all names twice, but not those of the catalog', { twice => 'page', match => '^GET .*list-type=2.*prefix=[^& ]*%2F[0-9]+(?:%2F)?[& ]' } ]) {
	my ($what, $how) = @$lie;
	($status, my $gone, $stderr) = expire_deceived($how);
	is_deeply([ $status, $gone ], [ 1, [] ], "$what: nothing is removed");
	like($stderr, qr/the server's listing is out of order/, '… and it is said why');
}

# --- listings of earlier, which lack what is new

my ($start) = map { $_->{start_lsn} } grep { $_->{label} eq $new } @{ run_json([@catalog], 'where it begins', env => \%env)->{backups} };
my $segment = do { my ($high, $low) = split m{/}, $start; sprintf '%08X%08X%08X', 1, hex($high), hex($low) >> 20 };
my @new_wal = grep { m{/wal/.*/([0-9A-F]{24})$} && $1 ge $segment } sort keys %{ stored() };
my $of_new  = "/(?:backup|pack|manifest|relation)/$new/";
my $no_wal  = join '|', map { quotemeta } @new_wal;
ok(@new_wal > 0, 'there is WAL of the new backup');
for my $lie ([ 'its entry', "/$new/complete\$" ], [ 'all but its entry', "$of_new(?!complete)" ], [ 'its WAL', $no_wal ]) {
	my ($what, $hide) = @$lie;
	($status, my $gone, $stderr) = expire_deceived({ hide => $hide });
	is_deeply([ $status, $gone ], [ 1, [] ], "a listing from before the new backup lacks $what: nothing is removed");
	like($stderr, qr/a listing of the repository lacks "/, '… and it is said why');
}
for my $time (1, 2) {
	($status, my $gone, $stderr) = expire_deceived({ hide => "$of_new|$no_wal" }, '--pgdata=' . $node->data_dir);
	is_deeply([ $status, $gone ], [ 1, [] ], "it lacks all of it: whoever has the mirror is not deceived, time $time");
	like($stderr, qr/lacks ".*\Q$new\E/, '… and it is said why');
}
($status, my $gone) = expire_deceived({ hide => "$of_new|$no_wal" });
is_deeply([ $status, [ grep { m{/(?:\Q$old\E|\Q$new\E)/} || m{/([0-9A-F]{24})$} } @$gone ] ], [ 0, [] ], 'without the mirror the one before it stays, and all WAL');
is_deeply(listed(), $now, 'both are there');
can_be_restored('a listing from before it', @$now);

# --- listings of earlier, which show what is gone

my $shown = { %$former, %{ stored() } };
($status, $gone, $stderr) = expire_deceived({ show => [ values %$former ] });
is_deeply([ $status, $gone ], [ 1, [] ], 'what is gone is shown: nothing is removed');
like($stderr, qr/the backup "\Q$all->[0]\E" cannot be read, so nothing is removed/, '… and it is said why');
is_deeply(listed(), $now, 'both are there still');
my @rest = map { $former->{$_} } grep { !m{/complete$} } keys %$former;
($status, $gone) = expire_deceived({ show => \@rest });
is($status, 0, 'what is shown is gone but for the entry: that is what an interrupted run leaves');
is_deeply(listed(), [$new], 'what does not count any more goes');
is_deeply([ grep { m{$of_new} || m{/([0-9A-F]{24})$} && $1 ge $segment } @$gone ], [], 'and nothing else');
can_be_restored('what is gone is shown', $new);
($status, $gone) = expire_deceived({ show => [ values %$shown ] });
is_deeply([ $status, $gone ], [ 1, [] ], 'everything that was ever there is shown: nothing is removed');
can_be_restored('everything is shown', $new);
($status, $said) = expire('--apply');
is($status, 0, 'a run that is told the truth ends well');
($status, $said) = expire();
is_deeply([ $status, $said->{objects}, scalar @{ $said->{unfinished} } ], [ 0, 0, 0 ], 'and leaves nothing');
my $two = restore('latest', source => $node, repo => $repo);
is($two->query('SELECT count(*) FROM t'), 1, 'what stays can be restored');
$two->stop;
$node->stop;

done_testing();
