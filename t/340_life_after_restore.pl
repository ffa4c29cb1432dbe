# A restored server becomes the production server: it archives to its own branch, is adopted, is backed up, and is restored
# again. Where archiving was off at its promotion, PostgreSQL never offers the history of its timeline.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use Pitr;

my $repo = repo('main');
my $node = cluster('source', repo => $repo, log_commits => 1);
$node->query('CREATE TABLE t AS SELECT g AS id FROM generate_series(1, 10) g');
run_ok([ 'pitr-basebackup', $repo->options, $node->connection, '--checkpoint=fast' ], 'a backup on timeline 1');
$node->query('INSERT INTO t VALUES (11)');
$node->archive_all;
$node->stop;

my $copy = restore('copy', source => $node, repo => $repo, start => 0) or die;
my $auto = $copy->data_dir . '/postgresql.auto.conf';
my $kept = read_file($auto);
unlike($kept, qr/^archive_mode/m, 'archive_mode is left as the source has it');
write_file($auto, $kept . "archive_mode = off\n");
$copy->begin;
is($copy->query('SELECT max(id) FROM t'), '11', 'the latest is restored');
ok(wait_until(sub { $copy->query('SELECT pg_is_in_recovery()') eq 'f' }), '… and the server is open');
is_deeply([ $repo->objects(qr/history|origin/) ], [], 'the history of its timeline is not in the repository, nor its branch');
run_fails([ 'pitr-basebackup', $repo->options, $copy->connection ], 2, qr/archive_mode of the server is off/, '… so it is not backed up');
write_file($auto, $kept);
$copy->restart;
run_fails([ 'pitr-basebackup', $repo->options, $copy->connection ], 2, qr/branch "restore-\w+", which is not in the repository.*pitr-catalog adopt/s,
	'… nor before it has archived or is adopted');
my $branch = $copy->query('SHOW pitr.branch');
run_ok([ 'pitr-catalog', $repo->options, 'adopt', '-D', $copy->data_dir ], 'it is adopted');
is_deeply([ $repo->objects(qr/origin$/) ], [ $repo->objects(qr{/\Q$branch\E/origin$}) ], '… by which its branch is there');
$copy->query('INSERT INTO t VALUES (12)');
my $name = $copy->archive_all;
like($name, qr/^00000002/, 'a segment of timeline 2 is archived');
is(scalar(grep { m{/\Q$branch\E/history/00000002\.history$} } $repo->objects), 1, '… and its history with it');

run_ok([ 'pitr-basebackup', $repo->options, $copy->connection, '--checkpoint=fast' ], 'a backup on timeline 2');
$copy->query('INSERT INTO t VALUES (13)');
$copy->archive_all;
$copy->stop;
my $windows = run_json([ 'pitr-catalog', $repo->options, '--json', 'window' ], 'the window');
is_deeply([ map { $_->{timeline} } @{ $windows->{windows} } ], [ 1, 2 ], '… has both timelines') or diag(explain($windows));
my $again = restore('again', source => $node, repo => $repo) or die;
is($again->query('SELECT max(id) FROM t'), '13', 'and it is what is restored from now on');
$again->stop;
my $old = restore('old', source => $node, repo => $repo, target => [ '--target-timeline', 'main' ]) or die;
is($old->query('SELECT max(id) FROM t'), '11', '… or the old one, when asked for');
$old->stop;
done_testing();
