# A restored server becomes the production server: it archives on its new timeline, is backed up, and is restored again.
# The history of that timeline was written while archiving was off, so PostgreSQL never offers it.
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

my $copy = restore('copy', source => $node, repo => $repo) or die;
is($copy->query('SELECT max(id) FROM t'), '11', 'the latest is restored');
ok(wait_until(sub { $copy->query('SELECT pg_is_in_recovery()') eq 'f' }), '… and the server is open');
is_deeply([ $repo->objects(qr/history/) ], [], 'the history of its timeline is not in the repository');
$copy->stop;
my $auto = $copy->data_dir . '/postgresql.auto.conf';
write_file($auto, read_file($auto) =~ s/^archive_mode.*\n//mr);
$copy->start;
is($copy->query('SHOW archive_mode'), 'on', 'archiving is switched on');
$copy->query('INSERT INTO t VALUES (12)');
my $name = $copy->archive_all;
like($name, qr/^00000002/, 'a segment of timeline 2 is archived');
is(scalar(grep { /00000002\.history$/ } $repo->objects), 1, '… and its history with it');

run_ok([ 'pitr-basebackup', $repo->options, $copy->connection, '--checkpoint=fast' ], 'a backup on timeline 2');
$copy->query('INSERT INTO t VALUES (13)');
$copy->archive_all;
$copy->stop;
my $windows = run_json([ 'pitr-catalog', $repo->options, '--json', 'window' ], 'the window');
is_deeply([ map { $_->{timeline} } @{ $windows->{windows} } ], [ 1, 2 ], '… has both timelines') or diag(explain($windows));
my $again = restore('again', source => $node, repo => $repo, target => [ '--target-timeline', '2' ]) or die;
is($again->query('SELECT max(id) FROM t'), '13', 'and it is restored again');
$again->stop;
done_testing();
