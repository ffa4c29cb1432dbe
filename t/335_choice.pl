# Which backup is taken when pitr-verify has found damage, what is said of WAL that the retention policy removed, what a host key may
# do, and that SQL's mirror follows whoever works on the repository alone.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";
use Pitr;
use Pitr::Document;
use JSON ();

my $repo    = repo('main', key => 1);
my $node    = cluster('source', repo => $repo, initdb => ['--wal-segsize=1']);
my @catalog = ('pitr-catalog', $repo->options);
my @restore = ('pitr-restore', $repo->options);
my @verify  = ('pitr-verify', $repo->options);
my @expire  = ('pitr-expire', $repo->options);
my $pgdata  = '--pgdata=' . $node->data_dir;
my %seen;

sub mirror { return Pitr::Document::read_document($node->data_dir . '/pitr.catalog') }
sub now { return $node->query('SELECT clock_timestamp()') }
sub planned { my ($title, @target) = @_; return run_json([ @restore, '--dry-run', '--json', @target ], $title) }
sub pack_of { my ($label) = @_; return $repo->path . '/' . ($repo->objects(qr{/pack/.*\Q$label\E|\Q$label\E.*/pack|\Q$label\E/}))[-1] }

# A row, what time it is then, and its WAL in the archive.
sub row_add {
	my ($id) = @_;
	$node->query("INSERT INTO t VALUES ($id)");
	my $time = now();
	$node->query("INSERT INTO t VALUES (-$id)");
	$node->archive_all;
	return $time;
}

sub backup {
	run_ok([ 'pitr-basebackup', $repo->options, $node->connection, '--checkpoint=fast' ], 'a backup');
	my ($label) = grep { !$seen{$_}++ } map { $_->{label} } @{ run_json([ @catalog, '--json', 'list' ], '… is listed')->{backups} };
	return $label;
}

# --- a backup that is known to be damaged

$node->query('CREATE TABLE t (id int)');
my $first = backup();
my $early = row_add(1);
my $second = backup();
$node->query(q{SELECT pg_create_restore_point('here')});
my $late = row_add(2);
is(planned('before anything is damaged')->{label}, $second, 'the newest backup is taken');
my @packs = grep { m{\Q$second\E} } $repo->objects(qr{/pack});
damage($repo->path . "/$packs[0]", 'flip');
is(planned('as long as nobody knows')->{label}, $second, 'the newest backup is taken');
run_fails([ @verify, $pgdata, $second ], 1, qr{}, 'pitr-verify finds the damage');
is_deeply({ map { $_->{label} => $_->{status} } @{ mirror()->{backups} } }, { $first => 'complete', $second => 'damaged' },
	'… and the mirror has it at once');

for my $target ([], ["--target-time=$late"], ['--target-name=here'], ['--target-immediate']) {
	my $plan = planned("a plan, @$target", @$target);
	is_deeply([ @$plan{qw(label backup_passed_over backup_damaged)} ], [ $first, $second, JSON::false ], '… from the older one, which is said');
}
is(planned('to a time before the damaged one', "--target-time=$early")->{backup_passed_over}, undef, 'nothing is passed over there');
like(run_ok([ @restore, '--dry-run' ], 'as text'), qr/^backup: +\Q$first\E.*^ +the newer backup \Q$second\E is passed over: pitr-verify found it damaged on \d/ms,
	'… with the time');
my $target = directory('restored');
run_ok([ @restore, '-D', "$target/first" ], 'it is restored');

my ($status, $stdout, $stderr) = run_program([ @restore, '--dry-run', '--json', "--backup=$second" ]);
is($status, 0, 'the damaged one can be chosen');
like($stderr, qr/warning: the restore from "\Q$second\E" may fail: pitr-verify found it damaged on \d/, '… with a warning');
is(JSON::decode_json($stdout)->{backup_damaged}, JSON::true, '… and a plan that says so');
run_fails([ @restore, '-D', "$target/second", "--backup=$second" ], 1, qr/hint: "pitr-verify \Q$second\E" says .*--backup=LABEL/,
	'it fails, and says what else there is');

my @others = grep { m{\Q$first\E} } $repo->objects(qr{/pack});
damage($repo->path . "/$others[0]", 'flip');
run_fails([ @verify, $first ], 1, qr{}, 'when all are damaged');
($status, $stdout, $stderr) = run_program([ @restore, '--dry-run', '--json' ]);
is(JSON::decode_json($stdout)->{label}, $second, 'the newest is taken');
like($stderr, qr/warning: the restore from "\Q$second\E" may fail: .*; no other one leads to the target/, '… with a warning');
damage($repo->path . "/$_", 'flip') for $packs[0], $others[0];
run_ok([ @verify, $pgdata ], 'repaired, and verified again');
is(planned('then')->{label}, $second, 'the newest is taken');

# --- a host key

my $host_key = '--key-file=' . $repo->key . '.host';
is(planned('with the secret key')->{needs_secret_key}, JSON::false, 'the secret key restores');
is(planned('with the host key', $host_key)->{needs_secret_key}, JSON::true, 'the host key does not');
like(run_ok([ @restore, '--dry-run', $host_key ], 'as text'), qr/^key: +a host key, .*: restoring needs the secret key$/m, '… and says so');
run_ok([ @catalog, $host_key, $pgdata, 'mirror' ], 'the mirror as a host has it');
like(mirror()->{settings}, qr/ --key-file='<the file of the secret key>'/, '… asks for the secret key');
unlike(mirror()->{settings}, qr/\.host\b/, '… and does not name the host key');

# --- the mirror follows

sub backup_in_mirror { my ($label) = @_; return (grep { $_->{label} eq $label } @{ mirror()->{backups} })[0] }
run_ok([ @catalog, $pgdata, 'pin', $first ], 'a pin');
ok(backup_in_mirror($first)->{pinned_until_us}, '… is in the mirror');
run_ok([ @catalog, $pgdata, 'note', $first, 'kept' ], 'a note');
is(backup_in_mirror($first)->{note}, 'kept', '… too');
run_ok([ @catalog, $pgdata, 'unpin', $first ], 'no pin');
is(backup_in_mirror($first)->{pinned_until_us}, undef, '… too');
ok(backup_in_mirror($first)->{verified_us}, 'and that it was verified');
my $other = directory('other');
is((run_program([ @catalog, "--pgdata=$other", '--log-level=info', 'pin', $first ]))[2] =~ s/^.*is pinned for ever\n//r, '', 'elsewhere nothing is said');

# --- WAL that retention removed

row_add(3) for 1 .. 3;
my $third = backup();
row_add(4);
my $plan = planned("the second backup's", "--target-time=$late");
run_ok([ @expire, $pgdata, '--keep-last=1', '--apply' ], 'all but the pinned and the last go');
is_deeply([ map { $_->{label} } @{ mirror()->{backups} } ], [ $first, $third ], '… from the mirror, too');
my $said = run_fails([ @restore, '--dry-run', "--target-time=$late" ], 2, qr/no longer in the archive, .*: pitr-expire removed what the retention policy does not keep$/m,
	'a time in between cannot be restored, because retention removed its WAL');
like($said, qr/hint: .*Before it, --target-lsn=.* is the latest.* Behind it, \d.* and later can be reached\./, '… and it is said what can');
unlike($said, qr/which servers may still have them/, '… and not that a server may have it');

my $segment = ($repo->objects(qr{/wal/.*/[0-9A-F]{24}$}))[-2];
damage($repo->path . "/$segment", 'remove');
like(run_fails([ @restore, '--dry-run' ], 2, qr/is missing from the archive/, 'a segment that nobody removed'), qr/which servers may still have them/,
	'… is looked for');
done_testing();
