# pitr-archive --drain: everything that a stopped server has not archived reaches the repository, and nothing else does.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";
use Pitr;

my $repo = repo('main');
my $node = cluster('source', repo => $repo, initdb => ['--wal-segsize=1']);
my @drain = ('pitr-archive', $repo->options, '--log-level=info', '--drain');

sub segments { return map { s{.*/}{}r } $repo->objects(qr{/wal/}) }

# The archiver stops working, the server goes on and crashes.
$node->archive_all;
my @archived = segments();
$node->query("ALTER SYSTEM SET archive_command = 'false'");
$node->query('SELECT pg_reload_conf()');
my $directory = $node->data_dir;

run_fails([ @drain, $directory ], 1, qr/a server is running in "\Q$directory\E".*hint: Stop it first/s, 'a running server is refused');
run_fails([ @drain, directory('nothing') ], 1, qr/is not a data directory/, 'so is what is no data directory');
run_fails([ @drain, $directory, 'pg_wal/000000010000000000000001' ], 1, qr/--drain takes a data directory and no WAL file/,
	'and a WAL file beside it');
run_fails([ 'pitr-archive', $repo->options ], 1, qr/missing argument: pitr-archive WAL-PATH/, 'without anything to do it says so');

my @waiting;
for (1 .. 3) {
	$node->query('CREATE TABLE IF NOT EXISTS t AS SELECT 1; INSERT INTO t SELECT 1');
	push @waiting, $node->switch_wal;
}
$node->query('INSERT INTO t SELECT 2');
my $last = $node->query('SELECT pg_current_wal_flush_lsn()');
my $current = $node->query('SELECT pg_walfile_name(pg_current_wal_insert_lsn())');
$node->stop('immediate');

my %status_before = map { $_ => 1 } $node->waiting_wal;
my ($stdout, $stderr) = run_ok([ @drain, $directory ], 'a crashed server is drained');
like($stdout, qr/^Stored 3 WAL segments and the last one, to LSN \S+, as "$current\.[0-9A-F]{8}\.partial"; \d+ had been archived\.$/,
	'it says what it did');
like($stderr, qr/stored "$_"/, "\"$_\" is named") for @waiting;
my @stored = segments();
is_deeply([ grep { !/partial/ } @stored ], [ sort @archived, @waiting ], 'exactly the missing segments are stored');
my ($partial) = grep { /\.partial$/ } @stored;
like($partial, qr/^$current\.[0-9A-F]{8}\.partial$/, 'and the current one');
cmp_ok(hex((split /\./, $partial)[1]), '>=', hex($last =~ s{.*/}{}r) % (1024 * 1024), 'up to the last commit');
is_deeply({ map { $_ => 1 } $node->waiting_wal }, \%status_before, "the server's own files are left alone");

my $before = $repo->contents;
like(run_ok([ @drain, $directory ], 'once more'), qr/^Stored 0 WAL segments and the last one/, 'finds nothing new');
is_deeply($repo->contents, $before, 'and changes nothing');
my $file = "$directory/pg_wal/$current";
my $ending = read_file($file);
write_file($file, substr($ending, 0, -8) . 'leftover');
run_ok([ @drain, $directory ], 'what lies behind the end, in a recycled file, does not count');
write_file($file, $ending);
is_deeply($repo->contents, $before, '… it is the same');

# The server comes back, writes more into the same segment, and is stopped in order.
$node->start;
$node->query('INSERT INTO t SELECT 3');
$node->stop('immediate');
run_ok([ @drain, $directory ], 'the same segment with more in it is stored, too');
is(scalar(grep { /\.partial$/ } segments()), 2, 'beside what was there');

$node->start;
$node->stop;
run_ok([ @drain, $directory ], 'a server that was shut down is drained');
ok((grep { $_ eq $current } segments()), 'the segment that was current is whole now');
$before = $repo->contents;

# Another server's WAL under the same names: nothing is stored beside it.
my $other = repo('other');
$other->init($node);
my $forged = $waiting[1];
my $data = read_file("$directory/pg_wal/$forged");
my $scratch = directory('forged');
write_file("$scratch/$forged", substr($data, 0, -8) . 'forgery!');
run_ok([ 'pitr-archive', $other->options, "$scratch/$forged" ], 'another content is archived');
run_fails([ 'pitr-archive', $other->options, '--drain', $directory ], 1, qr/"$forged" is in the repository .* with other content/,
	'a drain that meets it stops and names it');
ok(!(grep { m{/\Q$waiting[2]\E$} } $other->objects), 'and puts nothing behind it');

# A segment that is damaged on disk is never taken for whole.
my $third = repo('third');
$third->init($node);
my $middle = "$directory/pg_wal/$waiting[1]";
my $whole = read_file($middle);
damage($middle, 'zero', offset => 48, size => 128);
run_fails([ 'pitr-archive', $third->options, '--drain', $directory ], 1,
	qr/the WAL in .* ends at LSN .*, before the server's last checkpoint/, 'a damaged segment is the end of the WAL');
ok(!(grep { m{/\Q$waiting[1]\E$} } $third->objects), 'and is not stored under its name');
write_file($middle, $whole);
run_ok([ 'pitr-archive', $third->options, '--drain', $directory ], 'repaired, it is');

done_testing();
