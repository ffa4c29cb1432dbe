# The shape of the format: a second backup that refers to extents of the first, written by the independent
# implementation, restores; and still does when the first one and all that only it needs are gone.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use Pitr;

my $repo = repo('main', key => 1);
my $node = cluster('source', repo => $repo, log_commits => 1);
$node->query('CREATE TABLE kept AS SELECT g AS id FROM generate_series(1, 5000) g');
my $oracle = oracle($node);
run_ok([ 'pitr-basebackup', $repo->options, $node->connection, '--checkpoint=fast' ], 'the first backup');
$oracle->load(seconds => 1, rate => 100);
$node->archive_all;
$oracle->commits;
$node->archive_all;
$node->stop;

my ($first) = @{ run_json([ 'pitr-catalog', $repo->options, '--json', 'list' ], 'it is listed')->{backups} };
my $second  = substr($first->{label}, 0, 26) . 'ffffffff';
my ($branch) = map { s{/backup/.*}{}r } $repo->objects(qr{/complete$});
my @script  = ('python3', "$Pitr::ROOT/t/format/second_backup.py", $repo->key, $repo->path, $branch);

# One file with other content: the backup's own manifest, which PostgreSQL does not read, tells the two apart.
my $changed = write_file("$Pitr::TEST_DIRECTORY/changed", "the second backup's\n");
run_ok([ @script, $first->{label}, $second, "backup_manifest=$changed" ], 'a second backup is written from the specification');
my @packs_of_second = $repo->objects(qr{/pack/\Q$second\E/});
is(scalar @packs_of_second, 1, '… with one pack of its own');
my $list = run_json([ 'pitr-catalog', $repo->options, '--json', 'list' ], 'both are listed')->{backups};
is_deeply([ map { $_->{label} } @$list ], [ sort $first->{label}, $second ], '… by their labels');

my $check = sub {
	my ($name, $title) = @_;
	my $copy = restore($name, source => $node, repo => $repo, options => [ '--backup', $second ]) or return;
	is(read_file($copy->data_dir . '/backup_manifest'), "the second backup's\n", "$title: its own file");
	is_restored_to($copy, $oracle, { latest => 1 }, "$title: all rows");
	is($copy->query('SELECT count(*), sum(id) FROM kept'), '5000|12502500', "$title: what the first one stored");
	$copy->stop;
};
$check->('both', 'with the first there');

# Removing the first: its entry, its manifest; its packs are still needed.
my @packs = $repo->objects(qr{/pack/\Q$first->{label}\E/});
my $plan = run_json([ 'pitr-expire', $repo->options, '--json', '--keep-last=1', '--apply' ], 'the first is retired');
is_deeply([ map { $_->{label} } grep { $_->{goes} } @{ $plan->{backups} } ], [ $first->{label} ], '… alone');
is_deeply([ $repo->objects(qr{/pack/\Q$first->{label}\E/}) ], \@packs, 'its packs stay: the second refers to them');
is(scalar(my @parts = $repo->objects(qr{/(?:backup|manifest)/\Q$first->{label}\E/})), 0, '… its entry and its manifest are gone');
is(run_json([ 'pitr-expire', $repo->options, '--json', '--keep-last=1', '--apply' ], 'again')->{objects}, 0, 'and that is all');
$list = run_json([ 'pitr-catalog', $repo->options, '--json', 'list' ], 'the first is gone')->{backups};
is_deeply([ map { $_->{label} } @$list ], [$second], '… and only the second is listed');
$check->('alone', 'without the first');

# See it fail: a pack of the first is needed.
my ($needed) = $repo->objects(qr{/pack/\Q$first->{label}\E/});
my $kept = read_file($repo->path . "/$needed");
unlink $repo->path . "/$needed";
run_fails([ 'pitr-restore', $repo->options, '--backup', $second, '-D', "$Pitr::TEST_DIRECTORY/never" ], 1, qr/pack/,
	'without a pack that it refers to, the restore names the pack');
ok(!-e "$Pitr::TEST_DIRECTORY/never/global/pg_control", '… and leaves nothing that could be started');
write_file($repo->path . "/$needed", $kept);
done_testing();
