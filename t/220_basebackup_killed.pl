# pitr-basebackup killed at system calls all along its way: what lies under a final name is whole, no listing takes the
# rest for a backup, and the next run succeeds without help.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use Pitr;

my $repo = repo('main', key => 1);
my $node = cluster('source', repo => $repo);
$node->query('CREATE TABLE kept AS SELECT g AS id FROM generate_series(1, 4000) g');
my @backup = ('pitr-basebackup', $repo->options, $node->connection, '--checkpoint=fast', '--wal-timeout=30s');
my $listed = sub {
	my ($status, $stdout) = run_program([ 'pitr-catalog', $repo->options, '--json', 'list' ]);
	require JSON;
	return $status == 0 ? scalar @{ JSON::decode_json($stdout)->{backups} } : -1;
};

# The calls before the last are many and alike (read, poll): every so manieth is enough, and make check-full takes more.
my $count = 0;
kill_at_every_syscall('pitr-basebackup killed on its way leaves no backup that is none',
	command => \@backup,
	after   => sub {
		my ($was_killed, $point) = @_;
		my $now = $listed->();
		# A kill behind the last object leaves a backup, and that is right.
		return "the list cannot be read" if $now < 0;
		return "a run that ended well left no backup" if !$was_killed && $now != $count + 1;
		return "$now backups are listed after $count" if $now < $count || $now > $count + 1;
		$count = $now;
		return undef;
	},
	may_survive => 0.7,
	every => is_full_run() ? 5 : 41);

run_ok(\@backup, 'the next run succeeds without help');
my @objects = run_ok([ 'python3', "$Pitr::ROOT/t/format/check_repository.py", $repo->key, $repo->path ],
	'every object under a final name is whole, read by the independent implementation');
note("objects: $objects[0]");
$node->query('INSERT INTO kept VALUES (4001)');
$node->archive_all;
$node->stop;
my $copy = restore('copy', source => $node, repo => $repo);
is($copy->query('SELECT count(*), max(id) FROM kept'), '4001|4001', 'and the newest backup restores everything') if $copy;

# See the check fail.
my ($pack) = $repo->objects(qr{/pack/});
damage($repo->path . "/$pack", 'truncate');
run_fails([ 'python3', "$Pitr::ROOT/t/format/check_repository.py", $repo->key, $repo->path ], 1, qr/\Q$pack\E/,
	'(and an object that is not whole would have been seen)');
done_testing();
