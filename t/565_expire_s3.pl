# Removing from S3: what the server refuses stays whole and is named with the server's reason, and empty listings remove nothing.
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

for (1 .. 2) {
	$node->query('CREATE TABLE IF NOT EXISTS t AS SELECT 1');
	$node->archive_all;
	run_ok([ 'pitr-basebackup', $repo->options, $node->connection, '--checkpoint=fast' ], 'a backup', env => \%env);
	$node->archive_all;
}
my $all = listed();

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
my $two = restore('latest', source => $node, repo => $repo);
is($two->query('SELECT count(*) FROM t'), 1, 'what stays can be restored');
$two->stop;
$node->stop;

done_testing();
