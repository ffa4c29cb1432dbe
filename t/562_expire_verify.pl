# What pitr-expire has removed is no damage to pitr-verify, and what is missing beside it is; what was found is said once.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";
use JSON ();
use Pitr;

my $repo   = repo('main', key => 1);
my $node   = cluster('source', repo => $repo, initdb => ['--wal-segsize=1']);
my @verify = ('pitr-verify', $repo->options);
my @expire = ('pitr-expire', $repo->options, '--keep-daily=7');
my $path   = $repo->path;

sub listed { return @{ run_json([ 'pitr-catalog', $repo->options, '--json', 'list' ], 'what is listed')->{backups} } }
sub report { return JSON::decode_json((run_program([ @verify, '--json' ]))[1]) }

sub segment {
	my ($lsn, $less) = @_;
	my ($high, $low) = map { hex } split m{/}, $lsn;
	return sprintf '%08X%08X%08X', 1, ($low - $less < 0 ? $high - 1 : $high), (($low - $less) & 0xffffffff) >> 20;
}

$node->query('CREATE TABLE t (id serial)');
for my $number (0 .. 2) {
	run_ok([ 'pitr-basebackup', $repo->options, $node->connection, '--checkpoint=fast', $number == 0 ? '--pin=forever' : () ], "backup $number");
	$node->psql('postgres', join '', map { "INSERT INTO t DEFAULT VALUES;\nSELECT pg_switch_wal();\n" } 1 .. 5);
	$node->archive_all;
}
$node->stop;
my ($pinned, undef, $last) = sort { $a->{label} cmp $b->{label} } listed();

# --- WAL that was removed between two backups

run_ok([ @expire, '--apply' ], 'a backup goes, and WAL that only it needed');
is_deeply([ map { $_->{label} } listed() ], [ $pinned->{label}, $last->{label} ], 'the pinned one and the last are left');
my $whole = run_json([ @verify, '--json' ], 'what is left is verified');
is_deeply([ @$whole{qw(status problems lost)} ], [ 'good', [], [] ], 'nothing is damaged, missing, or lost');

my $before = $repo->contents;

sub mend {
	my $now = $repo->contents;
	damage("$path/$_", 'remove') for grep { !defined $before->{$_} } keys %$now;
	write_file("$path/$_", $before->{$_}) for grep { !defined $now->{$_} || $now->{$_} ne $before->{$_} } keys %$before;
	return;
}

my @segments = sort grep { m{/wal/.*/[0-9A-F]{24}$} } $repo->objects;
my ($inner)  = map { sprintf '%s%08X', m{^(.{16})(.{8})$} ? ($1, hex($2) + 2) : () } segment($last->{stop_lsn}, 1);
for my $case (
	[ 'the first segment of a backup, behind what was removed', segment($last->{start_lsn}, 0), $last, [ $last->{finished_us}, undef ] ],
	[ 'the last segment of a backup, before what was removed', segment($pinned->{stop_lsn}, 1), $pinned, undef ],
	[ 'a segment elsewhere', $inner, undef, [ undef, undef ] ]) {
	my ($what, $segment, $backup, $lost) = @$case;
	my ($object) = grep { m{/\Q$segment\E$} } @segments;
	damage("$path/$object", 'remove');
	my $report = report();
	is_deeply([ map { "$_->{problem} $_->{object}" } @{ $report->{problems} } ], ["missing $object"], "missing: $what");
	is_deeply([ map { $_->{label} } grep { $_->{status} eq 'damaged' } @{ $report->{backups} } ], [ $backup ? $backup->{label} : () ], '… and the backup that needs it');
	is(scalar @{ $report->{lost} }, $lost ? 1 : 0, '… and what is lost with it');
	is($report->{lost}[0]{after_us}, $lost->[0], '… from when on') if $lost && $lost->[0];
	is($report->{lost}[0]{until_us}, undef, '… to the end') if $lost;
	mend();
}
damage("$path/$_", 'remove') for $repo->objects(qr{/fact/retired/});
my $doubt = report();
is_deeply([ $doubt->{status}, scalar @{ $doubt->{problems} }, map { $_->{next_backup} } @{ $doubt->{lost} } ], [ 'damaged', 1, $last->{label} ],
	'without the fact that says so it is a hole');
mend();

# --- what was found stays said, once

my ($pack) = $repo->objects(qr{/pack/\Q$pinned->{label}\E/});
damage("$path/$pack", 'flip');
my $harmed = report();
is_deeply([ $harmed->{status}, $harmed->{lost} ], [ 'damaged', [] ], 'with a damaged backup before it nothing else is lost');
write_file("$path/$pack", $before->{$pack});
report() for 1 .. 2;
my ($branch) = map { m{^(.*)/fact/} } $repo->objects(qr{/fact/run/});

sub forge {
	my ($days, @members) = @_;
	my $time_us = int((time() - $days * 86400) * 1e6);
	run_ok([ '/usr/bin/python3', '-B', "$Pitr::ROOT/t/format/forge_facts.py", $repo->key . '.host', $path, $branch, 'run', $time_us, @members ], "a run of $days days ago");
	return sprintf '%016x', $time_us;
}

sub facts_count { return scalar(() = $repo->objects(qr{/fact/verified/})) }
sub runs { my @names = map { m{([0-9a-f]{16})-} } $repo->objects(qr{/fact/run/}); return join ' ', grep { my $id = $_; grep { $_ eq $id } @_ } @names }
damage("$path/$_", 'remove') for $repo->objects(qr{/fact/run/});
my $memory = forge(63, 'program="pitr-expire"', 'good=true', 'detail={"backups":[],"pins":[],"timelines":[]}');
my $old    = forge(61, 'program="pitr-verify"', 'good=true');
my $young  = forge(59, 'program="pitr-verify"', 'good=true');
my $many   = facts_count();
cmp_ok($many, '>', 6, 'there are many facts of the same');
run_ok([@expire], 'a plan');
is(facts_count(), $many, 'removes none of them');
run_ok([ @expire, '--apply' ], 'the next run');
is(facts_count(), 3, 'of each backup the last good word stays, and what took back a bad one until that is gone');
is(runs($memory, $old, $young), "$memory $young", 'old facts about runs go, but not the one that it remembers by');
is_deeply([ map { "$_->{label} $_->{status} " . ($_->{verified_us} ? 'verified' : '') } listed() ], [ map { "$_->{label} complete verified" } $pinned, $last ], 'listings say the same');
run_ok([ @expire, '--apply' ], 'another run');
is(runs($memory, $old, $young), $young, 'remembers by the last one');
is(facts_count(), 2, '… and of each backup one word is left');
damage("$path/$pack", 'flip');
report() for 1 .. 2;
run_ok([ @expire, '--apply' ], 'a run when one is damaged');
is(facts_count(), 3, 'the last bad word stays besides the good one');
is_deeply([ map { $_->{status} } listed() ], [ 'damaged', 'complete' ], '… and is believed');
write_file("$path/$pack", $before->{$pack});
is(report()->{status}, 'good', 'and all is well');

done_testing();
