# Facts about backups: pins with and without an end, taken back by name, notes, and what listings show of them; damaged ones.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";
use Pitr;

my $repo    = repo('main', key => 1);
my $node    = cluster('source', repo => $repo);
my @catalog = ('pitr-catalog', $repo->options);
my @backup  = ('pitr-basebackup', $repo->options, $node->connection, '--checkpoint=fast');

sub listed { return run_json([ @catalog, '--json', 'list' ], $_[0])->{backups} }
sub facts  { my ($kind) = @_; my @names = $repo->objects(qr{/fact/$kind/}); return @names }

run_ok([@backup], 'a backup');
my ($first) = map { $_->{label} } @{ listed('it is listed') };
ok(!exists listed('as it is')->[0]{pinned_until_us}, 'it is not pinned');
is(listed('and')->[0]{status}, 'complete', 'its status');

# --- pins

my $forever = '9223372036854775807';
run_ok([ @catalog, 'pin', $first ], 'it is pinned for ever');
is(listed('then')->[0]{pinned_until_us}, $forever, 'listings say so');
like(run_ok([ @catalog, 'list' ], 'for people too'), qr/\Q$first\E.*\[pinned\] /, 'the list');
like(run_ok([ @catalog, 'show', $first ], 'and alone'), qr/^pinned +for ever$/m, 'the page');
run_ok([ @catalog, 'unpin', $first ], 'that is taken back');
ok(!exists listed('then')->[0]{pinned_until_us}, 'and it is not');
is(scalar(facts('pin')), 1, 'the pin is still there: nothing is replaced');
is(scalar(facts('unpin')), 1, 'and what takes it back, where the credentials of who may delete are needed');
run_ok([ @catalog, 'unpin', $first ], 'taking back what is not there');
is(scalar(facts('unpin')), 1, 'writes nothing');

my $now = time;
run_ok([ @catalog, 'pin', '--for=10 days', $first ], 'a pin for a while');
my $until = listed('then')->[0]{pinned_until_us} / 1e6;
ok($until > $now + 10 * 86400 - 1 && $until < time + 10 * 86400 + 1, 'it ends then');
run_ok([ @catalog, 'pin', '--until=2099-01-02 03:04:05+00', $first ], 'and one until a moment');
is(listed('then')->[0]{pinned_until_us}, 4071006245 * 1e6, 'the longest counts');
like(run_ok([ @catalog, 'list' ], 'for people'), qr/\[pinned until 2099-01-0/, 'with its end');
run_fails([ @catalog, 'pin', '--until=yesterday 10:00', $first ], 2, qr/is over already/, 'one that is over');
run_fails([ @catalog, 'pin', '--until=2099-01-01', '--for=1 day', $first ], 2, qr/exclude each other/, 'two ends');
run_fails([ @catalog, 'pin', 'FFFF' ], 2, qr/there is no backup "FFFF"/, 'of what is not there');
run_ok([ @catalog, 'unpin', $first ], 'all are taken back');
ok(!exists listed('then')->[0]{pinned_until_us}, 'at once');

# A clock that was ahead when it was taken back does not take back what comes later.
run_ok([ @catalog, 'pin', $first ], 'pinned again');
is(listed('then')->[0]{pinned_until_us}, $forever, 'it counts, whatever the clocks of both said');

# --- notes

run_ok([ @catalog, 'note', $first, "before the \x{c3}\x{bc}bernahme" ], 'a note');
is(listed('then')->[0]{note}, "before the \x{fc}bernahme", 'it is shown');
run_ok([ @catalog, 'note', $first, 'another' ], 'another note');
is(listed('then')->[0]{note}, 'another', 'the last one counts');
run_fails([ @catalog, 'note', $first, "a\nb" ], 2, qr/control character/, 'notes are one line');
run_fails([ @catalog, 'note', $first ], 2, qr/Usage: pitr-catalog note LABEL TEXT/, 'a note needs its text');

# --- with the backup

run_ok([ @backup, '--pin', '--note=kept' ], 'a backup that is pinned for ever');
run_ok([ @backup, '--pin=30 days' ], 'and one for a while');
my @all = @{ listed('three') };
is_deeply([ map { $_->{pinned_until_us} // 0 } @all[ 0, 1 ] ], [ $forever, $forever ], 'the one');
ok($all[2]{pinned_until_us} > (time + 29 * 86400) * 1e6, 'and the other');
run_fails([ @backup, '--pin=soon' ], 2, qr/invalid value "soon" for "pin"/, 'a time that is none');

# --- a fact that cannot be read: warned about, the others count

my ($pin) = facts('pin');
damage($repo->path . "/$pin", 'flip');
my ($status, $stdout, $stderr) = run_program([ @catalog, '--json', 'list' ]);
is($status, 0, 'a damaged fact keeps nobody from listing');
like($stderr, qr/warning: a fact is left out: .*\Q$pin\E/, 'and is named');
run_fails([ 'pitr-expire', $repo->options, '--keep-last=1', '--apply' ], 1, qr/facts cannot be read, so nothing is removed/,
	'but nothing is removed then');

done_testing();
