# After pg_upgrade or initdb a server has another system identifier. `pitr-catalog init --new-system` lets it go on under
# the same cluster name, and both histories are kept.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use Pitr;

my ($oldest, $newest) = (sort { $a <=> $b } pg_versions())[0, -1];
my $repo = repo('main', key => 1);
my $old = cluster('old', version => $oldest, repo => $repo, initdb => ['--wal-segsize=1']);
$old->query('CREATE TABLE t AS SELECT 1 AS i');
run_ok([ 'pitr-basebackup', $repo->options, $old->connection, '--checkpoint=fast' ], 'the old server is backed up');
$old->query('INSERT INTO t VALUES (2)');
$old->archive_all;
$old->stop;
my ($old_id) = map { m{^main/(\d+)/} } $repo->objects(qr{/identity$});
my @init = ('pitr-catalog', $repo->options, 'init');

# --- refused --------------------------------------------------------------------------------------------------------
run_fails([ @init, '--new-system', '--pgdata=' . $old->data_dir ], 1, qr/is initialised for the cluster "main" already/,
	'the system that is there is no new one');
my $new = cluster('new', version => $newest, repo => $repo, init => 0, start => 0, initdb => ['--wal-segsize=1']);
my @new = ('--pgdata=' . $new->data_dir);
my $before = $repo->contents;
my $said = run_fails([ @init, @new ], 2, qr/has the system identifier $old_id, but this server has \d+/, 'without --new-system it is refused');
like($said, qr/hint: If this server continues that one, after pg_upgrade or initdb, run: pitr-catalog init --new-system/, '… which the hint names');
my $empty = repo('empty');
run_fails([ 'pitr-catalog', $empty->options, 'init', @new, '--new-system' ], 2, qr/has no history in .* that could be continued/,
	'where there is nothing, nothing can be continued');
my $wrong = repo('wrong', key => 1);
run_fails([ 'pitr-catalog', $repo->options, '--key-file=' . $wrong->key, 'init', @new, '--new-system' ], 1, qr/key/,
	'with another key it is refused');
is_deeply($repo->contents, $before, 'none of this wrote anything');

# --- done -----------------------------------------------------------------------------------------------------------
run_ok([ @init, @new, '--new-system' ], 'with --new-system the cluster goes on');
my $after = $repo->contents;
is_deeply({ map { $_ => $after->{$_} } keys %$before }, $before, 'everything that was there is as it was');
my ($new_id) = grep { $_ ne $old_id } map { m{^main/(\d+)/} } $repo->objects(qr{/identity$});
is(scalar(() = $repo->objects(qr{/key/})), scalar(grep { m{/key/} } keys %$before), '… and the key is the same');
$new->start;
$new->query('CREATE TABLE t AS SELECT 3 AS i');
run_ok([ 'pitr-basebackup', $repo->options, $new->connection, '--checkpoint=fast' ], 'the new server archives and is backed up');
$new->query('INSERT INTO t VALUES (4)');
$new->archive_all;

my ($stdout, $stderr) = run_ok([ 'pitr-catalog', $repo->options, 'list', '--json' ], 'a listing');
require JSON;
my $label = JSON::decode_json($stdout)->{backups}[0]{label};
is(scalar @{ JSON::decode_json($stdout)->{backups} }, 1, '… shows the backups of the new system');
like($stderr, qr/the system identifier $new_id; its earlier history, of $old_id, is looked at with --system=$old_id/, '… and says where the others are');
my $earlier = run_json([ 'pitr-catalog', $repo->options, 'list', '--json', "--system=$old_id" ], 'with --system');
is(scalar @{ $earlier->{backups} }, 1, '… those of the old one are shown');
isnt($earlier->{backups}[0]{label}, $label, '… which are others');
run_fails([ 'pitr-catalog', $repo->options, 'list', '--system=x' ], 2, qr/--system: "x" is not a system identifier/, 'nonsense is refused');
run_fails([ 'pitr-catalog', $repo->options, 'list', '--system=1' ], 2, qr/has the system identifier \d+, but/, 'an unknown one, too');

my $copy = restore('copy', source => $new, repo => $repo);
is($copy->query('SELECT string_agg(i::text, \',\' ORDER BY i) FROM t'), '3,4', 'the latest is that of the new system') if defined $copy;
$copy->stop if defined $copy;
$new->stop;
$copy = restore('earlier', source => $old, repo => $repo, options => ["--system=$old_id"]);
is($copy->query('SELECT string_agg(i::text, \',\' ORDER BY i) FROM t'), '1,2', 'that of the old one is restored with --system') if defined $copy;
$copy->stop if defined $copy;

# A third one follows the second, whatever the clock says.
my $third = cluster('third', version => $newest, repo => $repo, init => 0, start => 0, initdb => ['--wal-segsize=1']);
run_ok([ @init, '--pgdata=' . $third->data_dir, '--new-system' ], 'a third system follows');
(undef, $stderr) = run_ok([ 'pitr-catalog', $repo->options, 'list' ], 'a listing');
like($stderr, qr/--system=$_/, "… names $_ as earlier") for $old_id, $new_id;

done_testing();
