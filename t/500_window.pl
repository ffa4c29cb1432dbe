# What can be restored, from the index over WAL and without it: windows, gaps and whose segments are missing; an index that is
# lost, damaged or incomplete changes no answer and is made anew; plans say what is the last commit that is restored and the
# first that is not; --verify-wal reads what the listing only shows.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";
use Pitr;
use Sys::Hostname qw(hostname);

my $repo    = repo('main', key => 1);
my $node    = cluster('source', repo => $repo, initdb => ['--wal-segsize=1']);
my @catalog = ('pitr-catalog', $repo->options);
my @plan    = ('pitr-restore', $repo->options, '--dry-run', '--json');
my $never   = "$Pitr::TEST_DIRECTORY/never";
my $host    = hostname();

sub backup { return run_ok([ 'pitr-basebackup', $repo->options, $node->connection, '--checkpoint=fast' ], $_[0]) }
sub window { return run_json([ @catalog, '--json', 'window' ], $_[0]) }
sub index_objects { my @names = $repo->objects(qr{/index/}); return @names }
sub stored { return $repo->path . '/' . ($repo->objects(qr{/wal/.*/\Q$_[0]\E$}))[0] }

# Many segments, each with a commit of its own.
sub segments_make {
	my ($count) = @_;
	my $sql = join '', map { "INSERT INTO t DEFAULT VALUES;\nSELECT pg_switch_wal();\n" } 1 .. $count;
	$node->psql('postgres', $sql);
	$node->archive_all;
	return;
}

$node->query('CREATE TABLE t (id serial, at timestamptz DEFAULT clock_timestamp())');
backup('a backup');
segments_make(120);
my $middle = $node->query('SELECT pg_walfile_name(pg_current_wal_insert_lsn())');
$node->query("INSERT INTO t DEFAULT VALUES; SELECT pg_create_restore_point('middle')");
$node->archive_all;
segments_make(130);
is(scalar(index_objects()), 0, 'archiving makes no index');
my $without = window('a window without an index');
is(scalar(@{ $without->{windows} }), 1, 'it is one stretch');
is_deeply([ @{ $without->{windows}[0] }{qw(branch timeline backups end)} ], [ 'main', 1, 1, 'end of archive' ],
	'of the default branch, to the end of the archive');
is_deeply([ $without->{gaps}, $without->{unknown_timelines} ], [ [], [] ], 'without a gap');

backup('another backup');
is(scalar(index_objects()), 1, 'a base backup makes the index of what is complete');
my $with = window('a window with an index');
my $made = $with->{windows}[0];
$made->{backups}--, delete @$_{qw(segments latest latest_us latest_lsn last_segment commits labels)} for $made;
is_deeply($made, { map { $_ => $without->{windows}[0]{$_} } keys %$made }, 'the index changes nothing but that there is more');

# --- the index is lost, damaged, incomplete

my ($object) = index_objects();
my $before = window('what there is');
damage($repo->path . "/$object", 'remove');
is_deeply(window('without the index again'), $before, 'the same is said without the index');
my $rebuilt = run_json([ @catalog, '--json', 'rebuild' ], 'the index is made anew');
is($rebuilt->{timelines}[0]{blocks_written}, 1, 'one part of it is written');
($object) = index_objects();
is_deeply(window('with a new index'), $before, 'the same is said with the new one');
like(run_ok([ @catalog, 'rebuild' ], 'once more'), qr/^main, timeline 1: \d+ segments are in the index; 1 of its 1 parts were right, 0 written$/m,
	'what is right is left alone');
is_deeply([ index_objects() ], [$object], 'nothing was written');

damage($repo->path . "/$object", 'flip');
my ($status, $stdout, $stderr) = run_program([ @catalog, '--json', 'window' ]);
is_deeply(JSON::decode_json($stdout), $before, 'the same is said when the index is damaged');
like($stderr, qr/warning: an index over WAL cannot be read.*\Q$object\E.*hint: .*rebuild/s, 'which is named, with the way out');
like(run_ok([ @catalog, 'rebuild' ], 'a damaged index is found'), qr/0 of its 1 parts were right, 1 written \(there were some: damaged\)/,
	'and another one made');
is(scalar(index_objects()), 2, 'beside it: nothing is replaced');
is(run_json([ @catalog, '--json', 'rebuild' ], 'and then')->{timelines}[0]{blocks_right}, 1, 'all is well');

# Only the host key: it may make the index.
$repo->write_config('key-file' => $repo->key . '.host');
damage($repo->path . "/$_", 'remove') for index_objects();
like(run_ok([ @catalog, 'rebuild' ], 'a host without the secret key makes the index'), qr/1 written/, 'it is written');
is_deeply(window('a host plans'), $before, 'and the window is the same');
my ($branch) = $object =~ m{^(.*)/index/};
my %known = map { split / /, $_ } split /\n/, run_ok([ 'python3', "$Pitr::ROOT/t/format/pitr_format.py", 'index', $repo->key . '.host',
	$repo->path, $branch, 1 ], 'a second implementation reads the index');
is_deeply({ map { $_ => 1 } values %known }, { same => 1 }, 'which says the same as the segments');
is(scalar(keys %known), $rebuilt->{timelines}[0]{segments}, 'of all of them');

# --- plans

my @commits = map { [ split /\|/ ] } split /\n/, $node->query(
	"SELECT xmin, id, (extract(epoch FROM at) * 1000000)::bigint FROM t WHERE id BETWEEN 50 AND 53 ORDER BY id");
my $time = sub { my $us = $_[0]; return $node->query("SELECT to_char(to_timestamp($us / 1000000.0) AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US+00')") };
my $between = $time->($commits[1][2]);    # while the second of them runs
my $coarse = run_json([ @plan, "--target-time=$between" ], 'with the host key a time is planned');
is($coarse->{exact}, JSON::false(), 'to the segment');
like(run_ok([ 'pitr-restore', $repo->options, '--dry-run', "--target-time=$between" ], 'as text too'), qr/exact to the segment only/, 'which is said');
run_fails([ @plan, "--target-xid=$commits[1][0]" ], 1, qr/could not look for the transaction.*host key/s, 'a transaction cannot be looked for');
run_fails([ 'pitr-restore', $repo->options, '-D', $never, "--target-time=$between" ], 1, qr/is a host key/, 'and nothing restored');
$repo->write_config('key-file' => $repo->key);

my $exact = run_json([ @plan, "--target-time=$between" ], 'with the secret key');
is($exact->{exact}, JSON::true(), 'it is exact');
is_deeply([ $exact->{last_commit}{xid}, $exact->{next}{xid} ], [ $commits[0][0], $commits[1][0] ],
	'the last commit that is restored, and the first that is not');
is($exact->{timeline_path}[0]{branch}, 'main', 'the path names the branch');
is($exact->{timeline_path}[0]{wal_segments}, $exact->{wal_segments}, 'and the segments of each timeline');
is($exact->{backups_newer}, 1, 'a newer backup ends behind it');
my $by_xid = run_json([ @plan, "--target-xid=$commits[1][0]" ], 'a transaction is found');
is_deeply([ $by_xid->{last_commit}{xid}, $by_xid->{next}{xid} ], [ $commits[1][0], $commits[2][0] ], 'and what comes behind it');
$by_xid = run_json([ @plan, "--target-xid=$commits[1][0]", '--target-exclusive' ], 'without the transaction itself');
is_deeply([ $by_xid->{last_commit}{xid}, $by_xid->{next}{xid} ], [ $commits[0][0], $commits[1][0] ], 'it is the next one');
my $lsn = $by_xid->{next}{lsn};
for my $case ([ $lsn, 0, 1 ], [ $lsn, 1, 0 ]) {
	my ($at, $exclusive, $last) = ($case->[0], @$case[ 1, 2 ]);
	my $by_lsn = run_json([ @plan, "--target-lsn=$at", $exclusive ? '--target-exclusive' : () ], 'a position is found');
	is_deeply([ $by_lsn->{last_commit}{xid}, $by_lsn->{next}{xid} ], [ $commits[$last][0], $commits[ $last + 1 ][0] ],
		$exclusive ? 'before the commit' : 'with the commit');
}
# PostgreSQL replays the first record that begins at the position or behind it.
my $odd = sprintf '0/%X', hex($lsn =~ s{.*/}{}r) - 4;
is(run_json([ @plan, "--target-lsn=$odd" ], 'a position just before a commit')->{last_commit}{xid}, $commits[1][0], 'takes it along');
is(run_json([ @plan, '--target-name=middle' ], 'a restore point')->{backup_reason}, 'the newest that ends before the target', 'it is said why that backup');
is(run_json([@plan], 'the latest')->{next}, undef, 'nothing comes behind the latest');
run_fails([ @plan, '--target-name=midle' ], 2, qr/restore point.*midle.*not in the archive.*There is "middle"/s, 'a name that is not there: those that are');

my $first_lsn = $before->{windows}[0]{earliest_lsn};
my $early = sprintf '0/%X', hex($first_lsn =~ s{.*/}{}r) - 8;
my $said = run_fails([ @plan, "--target-lsn=$early" ], 2, qr/before the end of the first backup.*hint: Give --target-lsn=\Q$first_lsn\E or later/s,
	'a position inside the first backup is refused');
run_ok([ @plan, "--target-lsn=$first_lsn" ], 'what the hint names can be reached');
$said = run_fails([ @plan, '--target-time=2001-01-01' ], 2, qr/before the end of the first backup.*hint: Give --target-time='/s, 'so is a time');
my ($option) = $said =~ /Give (--target-time='[^']+')/;
run_ok([ @plan, ($option // '') =~ s/'//gr ], 'and what that hint names can be reached');
$said = run_fails([ @plan, '--target-lsn=F/0' ], 2, qr/behind the archive.*hint: Give --target-lsn=/s, 'a position behind the archive is refused');
($option) = $said =~ /Give (--target-lsn=\S+),/;
run_ok([ @plan, $option // '' ], 'what the hint names can be reached');
run_fails([ @plan, '--target-timeline=7' ], 2, qr/timeline 7 is not in the archive.*It has timeline 1/s, 'and a timeline that is not there');

# --- damage that the index hides

my @all    = map { s{.*/}{}r } $repo->objects(qr{/wal/[^/]+/[^/]+/[0-9A-F]{24}$});
my ($at)   = grep { $all[$_] eq $middle } 0 .. $#all;
my $harmed = $all[ $at - 20 ];
my $victim = stored($harmed);
my $kept   = read_file($victim);
damage($victim, 'flip');
run_ok([ @plan, '--target-name=middle' ], 'with the index, a plan does not read every segment');
run_fails([ 'pitr-restore', $repo->options, '-D', $never, '--target-name=middle', '--verify-wal' ], 1, qr/\Q$harmed\E/,
	'--verify-wal names the damaged one');
ok(!-e $never, 'and nothing was written');
write_file($victim, $kept);
like((run_ok([ @plan, '--target-name=middle', '--verify-wal' ], 'whole again'))[1], qr/all WAL of the plan was read: \d+ segments with \d+ records/,
	'it reads all of them');

# --- an index that cannot be written

my ($directory) = map { $repo->path . '/' . s{/[^/]+$}{}r } index_objects();
my %index = map { $_ => read_file($repo->path . "/$_") } index_objects();
damage($repo->path . "/$_", 'remove') for keys %index;
chmod 0500, $directory;
run_fails([ @catalog, 'rebuild' ], 1, qr/could not create|permission denied/i, 'who may not write cannot rebuild the index');
run_ok([ 'pitr-basebackup', $repo->options, $node->connection, '--checkpoint=fast' ], 'but takes base backups all the same');
is(scalar(index_objects()), 0, 'without an index');
chmod 0700, $directory;
write_file($repo->path . "/$_", $index{$_}) for keys %index;
$before = window('with one more backup');

# --- gaps

my @lost = @all[ $at + 10 .. $at + 12 ];
my %aside;
for (@lost) { my $path = stored($_); $aside{$path} = read_file($path); damage($path, 'remove') }
my $holed = window('with a gap');
is(scalar(@{ $holed->{windows} }), 2, 'there are two stretches');
is_deeply([ map { @$_{qw(end backups)} } @{ $holed->{windows} } ], [ 'gap', 1, 'end of archive', 2 ], 'the first ends at it');
my ($gap) = @{ $holed->{gaps} };
is_deeply([ @$gap{qw(branch timeline first last segments)} ], [ 'main', 1, $lost[0], $lost[2], 3 ], 'the gap is named')
  or diag(explain($holed->{gaps}));
is_deeply([ map { [ @{ $gap->{$_} }{qw(segment host)} ] } 'before', 'behind' ], [ [ $all[ $at + 9 ], $host ], [ $all[ $at + 13 ], $host ] ],
	'and who stored what lies around it');
my $times = $node->query("SELECT count(*) FROM t WHERE at > '$gap->{lost_after}' AND at < '$gap->{lost_before}'");
is($times, 4, 'the time that is lost is that of its commits');    # and of the one whose commit ends it
my $text = run_ok([ @catalog, 'window' ], 'as text');
like($text, qr/^timeline 1: gap, 3 segments missing: $lost[0] to $lost[2]\n    lost is what was committed between .* and .*\n    the segment before it, $all[$at + 9], was stored by "\Q$host\E" at .*\n/m,
	'it says the same');
run_fails([ @plan, "--target-time=$gap->{lost_before}" ], 2, qr/3 WAL segments are missing.*--target-lsn=/s, 'a time behind the gap is refused');

# The block gets a new index without them; then they come.
damage($repo->path . "/$_", 'remove') for index_objects();
run_ok([ @catalog, 'rebuild' ], 'an index with a gap');
write_file($_, $aside{$_}) for keys %aside;
is_deeply(window('filled'), $before, 'what came later than the index is seen');
like(run_ok([ @catalog, 'rebuild' ], 'the index'), qr/1 written \(there were some: incomplete\)/, 'is completed');
is_deeply(window('then'), $before, 'and nothing changes');

# --- a branch

my $copy = restore('copy', source => $node, repo => $repo) or die;
wait_until(sub { $copy->query('SELECT pg_is_in_recovery()') eq 'f' });
$copy->query('INSERT INTO t DEFAULT VALUES');
$copy->archive_all;
my $forked = window('with a copy that archives to a branch of its own');
my ($other) = grep { $_->{branch} ne 'main' } @{ $forked->{windows} };
is_deeply([ scalar(@{ $forked->{windows} }), @$other{qw(timeline end label)} ], [ 2, 2, 'end of archive', $before->{windows}[0]{label} ],
	'its stretch begins with the backups it came from') or diag(explain($forked));
$said = run_ok([ @catalog, 'rebuild' ], 'the index of both');
like($said, qr/^main, timeline 1: .* 1 of its 1 parts were right, 0 written\n\Q$other->{branch}\E, timeline 2: too little WAL for an index$/m,
	'is right') or diag($said);
my $on_copy = run_json([ @plan, "--target-timeline=$other->{branch}" ], 'the latest of the branch');
is_deeply([ map { [ @$_{qw(timeline branch)} ] } @{ $on_copy->{timeline_path} } ], [ [ 1, 'main' ], [ 2, $other->{branch} ] ],
	'the plan leads from one branch to the other');
$copy->stop;

# --- WAL that breaks off, or is damaged, in the middle

damage($repo->path . "/$_", 'remove') for index_objects();
damage(stored($lost[1]), 'truncate', size => 50);
my $torn = window('with a damaged segment');
is_deeply([ map { $_->{end} } grep { $_->{branch} eq 'main' } @{ $torn->{windows} } ], [ 'damaged', 'end of archive' ],
	'a stretch ends before it')
  or diag(explain($torn));
like($torn->{windows}[0]{damage}, qr/\Q$lost[1]\E/, 'it is named');

$node->stop;
done_testing();
