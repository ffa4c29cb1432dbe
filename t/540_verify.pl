# pitr-verify: every damage to any object is found and named, with exactly the restores that it affects; parts of a subset
# together find what the whole does, and read each object once.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use JSON ();
use List::Util qw(shuffle sum);
use Pitr;

my $seed = $ENV{TEST_PITR_SEED} // time;
srand $seed;
note("TEST_PITR_SEED=$seed");

my $backup_count = is_full_run() ? 49 : 5;
my $damage_count = is_full_run() ? 200 : 25;
my $repo   = repo('main', key => 1, settings => { 'retry-for' => '1s' });
my $node   = cluster('source', repo => $repo, initdb => ['--wal-segsize=1']);
my @verify = ('pitr-verify', $repo->options);
my @probes;    # moments, each behind a backup and before the next

sub backup_make {
	my ($server) = @_;
	run_ok([ 'pitr-basebackup', $repo->options, $server->connection, '--checkpoint=fast' ], 'a backup');
	return;
}

# Some segments with a commit in each; the time in the middle is one that somebody may want back.
sub work {
	my ($server) = @_;
	for my $round (1 .. 3) {
		$server->query('INSERT INTO t DEFAULT VALUES');
		push @probes, $server->query(q{SELECT pg_sleep(0.01), to_char(clock_timestamp(), 'YYYY-MM-DD HH24:MI:SS.US+00')})
		  =~ s/.*\|//r if $round == 2;
		$server->query('SELECT pg_sleep(0.01)');
		$server->switch_wal;
	}
	$server->archive_all;
	return;
}

# One complete block of the index.
$node->query('CREATE TABLE t (id serial, at timestamptz DEFAULT clock_timestamp())');
$node->psql('postgres', join '', map { "INSERT INTO t DEFAULT VALUES;\nSELECT pg_switch_wal();\n" } 1 .. 256);
$node->archive_all;
for (1 .. $backup_count) { backup_make($node); work($node) }
$node->query(q{SELECT pg_create_restore_point('copied')});
$node->archive_all;
work($node);

# A copy, with a branch, a timeline and a backup of its own.
my $copy = restore('copy', source => $node, repo => $repo, target => [ '--target-name=copied', '--target-action=promote' ]);
wait_until(sub { $copy->query('SELECT pg_is_in_recovery()') eq 'f' });
$copy->query('INSERT INTO t DEFAULT VALUES');
$copy->archive_all;
backup_make($copy);
{ my @kept = @probes; work($copy); @probes = @kept }
$_->stop for $node, $copy;

my $list    = run_json([ 'pitr-catalog', $repo->options, '--json', 'list' ], 'the list')->{backups};
my %backup  = map { $_->{label} => $_ } @$list;
my ($of_copy) = grep { $backup{$_}{branch} ne 'main' } keys %backup;
is(scalar(keys %backup), $backup_count + 1, 'there are some backups');

@probes = (shuffle(@probes))[ 0 .. 9 ] if @probes > 10;

# --- all is well

my $whole = run_json([ @verify, '--json' ], 'nothing is damaged');
is_deeply([ @$whole{qw(status subset problems lost incomplete)} ], [ 'good', '1/1', [], [], [] ], 'which is said');
is($whole->{contents_read}, $whole->{contents}, 'all contents were read');
is_deeply({ map { $_->{label} => $_->{status} } @{ $whole->{backups} } }, { map { $_ => 'good' } keys %backup }, 'every backup is good');
like(run_ok([@verify], 'as text'), qr/objects, .* read; contents of (\d+) of \1 packs and WAL files: all is well$/m, 'all is well');
is(scalar(() = $repo->objects(qr{/fact/verified/})), 2 * keys %backup, 'each time there is a fact of each backup');
my $listed = run_json([ 'pitr-catalog', $repo->options, '--json', 'list' ], 'the list again')->{backups};
is(scalar(grep { $_->{verified_us} && $_->{status} eq 'complete' } @$listed), scalar(@$listed), 'and listings say so');
run_ok([ @verify, $of_copy ], 'one backup');
run_ok([ @verify, '--wal', '--progress', '--memory=32MB', '--jobs=3' ], 'WAL alone, in little memory');
run_fails([ @verify, '--wal', '--all' ], 2, qr/exclude one another/, 'what is asked must be one thing');
run_fails([ @verify, "--subset=$_" ], 2, qr/is no part of a whole.*--subset=2\/7/s, "a wrong subset: $_") for '0/3', '4/3', '1', 'a/b', '1/';
run_fails([ @verify, 'nonesuch' ], 2, qr/nonesuch/, 'a backup that does not exist');

# --- the repository as it is, and its parts

my $before = $repo->contents;
sub mend {
	my $now = $repo->contents;
	damage($repo->path . "/$_", 'remove') for grep { !defined $before->{$_} } keys %$now;
	write_file($repo->path . "/$_", $before->{$_}) for grep { !defined $now->{$_} || $now->{$_} ne $before->{$_} } keys %$before;
	return;
}

my ($branch) = ($repo->objects(qr{/main/wal/}))[0] =~ m{^(.*)/wal/};
my @segments = map { m{([^/]+)$} } grep { /\/[0-9A-F]{24}$/ } $repo->objects(qr{^\Q$branch\E/wal/});
sub segment_of { my ($lsn, $less) = @_; my ($high, $low) = map { hex } split /\//, $lsn; return ((($high << 32) + $low - $less) >> 20) }
sub number_of { my ($name) = @_; return (hex(substr $name, 8, 8) << 12) + hex(substr $name, 16, 8) }
my @by_place = sort { segment_of($backup{$a}{start_lsn}, 0) <=> segment_of($backup{$b}{start_lsn}, 0) } grep { $backup{$_}{branch} eq 'main' } keys %backup;
my $first_needed = segment_of($backup{ $by_place[0] }{start_lsn}, 0);
my $last = number_of($segments[-1]);
my ($origin) = $repo->objects(qr{/origin$});
my @of_copy = grep { /\/[0-9A-F]{24}$/ } $repo->objects(qr{/restore-[0-9a-f]+/wal/});
my $copied = number_of($of_copy[0] =~ m{([^/]+)$});

my %objects = (
	pack     => [ $repo->objects(qr{/pack/}) ],
	manifest => [ $repo->objects(qr{/manifest/}) ],
	fact     => [ $repo->objects(qr{/backup/.*/complete$}) ],
	relation => [ $repo->objects(qr{/relation/}) ],
	index    => [ $repo->objects(qr{/index/}) ],
	history  => [ $repo->objects(qr{/history/}) ],
	wal      => [ (grep { m{^\Q$branch\E/wal/.*/([0-9A-F]{24})$} && number_of($1) >= $first_needed && number_of($1) < $last } $repo->objects(qr{/wal/})),
		@of_copy[ 0 .. $#of_copy - 1 ] ],
	origin   => [$origin],
);
is(scalar(grep { !@{ $objects{$_} } } keys %objects), 0, 'there are objects of every sort')
  or diag(join ', ', map { "$_: " . scalar @{ $objects{$_} } } sort keys %objects);

# The backups that cannot be restored without it.
sub affected {
	my ($sort, $object) = @_;
	return $object =~ m{/([0-9A-F]{8}-[0-9A-F]{16}-[0-9a-f]{8})/} ? $1 : () if $sort =~ /^(pack|manifest|fact)$/;
	return $of_copy if $sort =~ /^(history|origin)$/;
	return () if $sort ne 'wal';
	my $number = number_of($object =~ m{([^/]+)$});
	return grep { my $b = $backup{$_}; segment_of($b->{start_lsn}, 0) <= $number && $number <= segment_of($b->{stop_lsn}, 1)
		&& ($object =~ m{/restore-} ? $b->{branch} ne 'main' : $b->{branch} eq 'main' || $number < $copied) } keys %backup;
}

# Does the report name what was harmed, nothing else, and exactly the backups that are affected?
sub is_named {
	my ($report, $harmed, $title) = @_;
	my (%expected, %affected, %found, %named);
	for my $harm (@$harmed) {
		$expected{ $harm->[1] } = 1;
		$affected{$_} = 1 for affected(@$harm);
	}
	for my $problem (@{ $report->{problems} }) {
		$found{ $problem->{object} } = 1;
		$named{$_} = 1 for @{ $problem->{backups} };
	}
	for my $backup (@{ $report->{backups} }) { $named{ $backup->{label} } = 1 if $backup->{status} eq 'damaged' }
	# What a removed fact was about is no longer known to be a backup.
	if ($title =~ /^fact.*remove/) { %found = %expected if @{ $report->{incomplete} }; $named{$_} = 1 for @{ $report->{incomplete} } }
	is_deeply([ sort keys %found ], [ sort keys %expected ], "$title: it is found, and nothing else");
	is_deeply([ sort keys %named ], [ sort keys %affected ], '… and exactly the backups that need it');
	return;
}

# Which of the moments can be restored, as planned with all WAL read.
sub probes_restorable {
	return map { (run_program([ 'pitr-restore', $repo->options, '--dry-run', '--verify-wal', "--target-time=$_", '--target-timeline=1' ]))[0] == 0 ? 1 : 0 } @probes;
}

sub probes_promised {
	my ($report) = @_;
	return map {
		my $probe = $_;
		my $is_lost = grep { $_->{timeline} == 1 && $_->{branch} eq 'main'
			&& (!defined $_->{after_us} || moment($probe) > $_->{after_us}) && (!defined $_->{until_us} || moment($probe) < $_->{until_us})
		} @{ $report->{lost} };
		$is_lost ? 0 : 1;
	} @probes;
}

sub moment {
	my ($text) = @_;
	my ($y, $mo, $d, $h, $mi, $s, $us) = $text =~ /(\d+)-(\d+)-(\d+) (\d+):(\d+):(\d+)\.(\d+)/;
	require Time::Local;
	return Time::Local::timegm($s, $mi, $h, $d, $mo - 1, $y) * 1_000_000 + $us;
}

# --- random damages, one at a time

my @ways = qw(flip head tail truncate extend empty remove swap stale);
my @deck = map { my $sort = $_; map { [ $sort, $_ ] } @ways } sort keys %objects;
@deck = shuffle(@deck);
# Every sort at least once in a short run.
my %seen;
@deck = ((grep { !$seen{ $_->[0] }++ } @deck), (grep { $seen{ $_->[0] } > 1 } @deck), shuffle(@deck)) x 3;
my ($done, $probed, $restored) = (0, 0, 0);
for my $case (@deck) {
	my ($sort, $way) = @$case;
	last if $done == $damage_count;
	# An index may be missing; of one sort there may be only one object; there is nothing else that a stale one could be.
	next if $sort eq 'index' && $way eq 'remove';
	my @candidates = shuffle(@{ $objects{$sort} });
	my ($object, $other) = @candidates;
	next if $way =~ /^(swap|stale)$/ && !defined $other;
	my $path   = $repo->path . "/$object";
	my @harmed = ([ $sort, $object ]);
	if    ($way eq 'head')  { damage($path, 'flip', offset => 60) }
	elsif ($way eq 'tail')  { damage($path, 'flip', offset => -1) }
	elsif ($way eq 'stale') { write_file($path, $before->{$other}) }
	elsif ($way eq 'swap')  { damage($path, 'swap', other => $repo->path . "/$other"); push @harmed, [ $sort, $other ] }
	else                    { damage($path, $way) }
	my ($status, $stdout, $stderr) = run_program([ @verify, '--json' ]);
	my $report = JSON::decode_json($stdout);
	is($status, $sort eq 'fact' && $way eq 'remove' ? 0 : 1, "$sort, $way: the exit status");
	is_named($report, \@harmed, "$sort, $way");
	if ($sort eq 'wal' && $probed++ < 6) {
		my @promised = probes_promised($report);
		is_deeply([ probes_restorable() ], \@promised, '… and exactly the moments can be restored that are not named as lost')
		  or diag(JSON::encode_json($report->{lost}));
	}
	if ($sort =~ /^(pack|manifest)$/ && $way ne 'swap' && $restored++ < 3) {
		my ($label) = affected($sort, $object);
		my ($good) = grep { $_ ne $label } @by_place;
		for my $try ([ $label, 0 ], [ $good, 1 ]) {
			my $target = "$Pitr::TEST_DIRECTORY/tried";
			my ($restore_status) = run_program([ 'pitr-restore', $repo->options, "--backup=$try->[0]", '--target-immediate',
				$try->[0] eq $of_copy ? '--target-timeline=2' : (), '-D', $target ]);
			ok(($restore_status == 0) == $try->[1], $try->[1] ? '… another backup is restored' : '… and restoring it fails');
			File::Path::remove_tree($target);
		}
	}
	mend();
	$done++;
}
is($done, $damage_count, 'so many damages were done');

# --- several at once, and in parts

sub harm_contents {
	my @harmed = map { my $sort = $_; map { [ $sort, $_ ] } (shuffle(@{ $objects{$sort} }))[ 0 .. 2 ] } 'pack', 'wal';
	damage($repo->path . "/$_->[1]", 'flip', offset => -1) for @harmed;
	return @harmed;
}

my @harmed = harm_contents();
is_named(run_report(), \@harmed, 'several contents');
my $structure = $objects{relation}[0];
damage($repo->path . "/$structure", 'flip');
my (%times, @read);
for my $part (1 .. 5) {
	my $report = run_report("--subset=$part/5");
	$times{ $_->{object} }++ for @{ $report->{problems} };
	push @read, $report->{contents_read};
}
is(sum(@read), $whole->{contents}, 'over all parts each pack and each WAL file is read once');
ok(!(grep { $_ == 0 || $_ > $whole->{contents} / 2 } @read), 'every part has some') or diag("@read");
is_deeply(\%times, { (map { $_->[1] => 1 } @harmed), $structure => 5 }, 'each damage of contents is found in one part, of structure in all');
my $today = run_report('--subset=today/3');
like($today->{subset}, qr{^[123]/3$}, 'today is a part too');

# With the host key only what is around the contents is verified, and that is said.
damage($repo->path . "/$structure", 'flip');
$repo->write_config('key-file' => $repo->key . '.host');
my ($text) = run_ok([@verify], 'with the host key the contents are not seen');
like($text, qr/\Athe structure of \d+ objects is whole; the contents of $whole->{contents} packs and WAL files were NOT read: that needs the secret key, and "\S+\.host" is a host key$/,
	'which is what is said, and not that all is well');
damage($repo->path . '/' . $objects{pack}[0], 'truncate');
damage($repo->path . '/' . $objects{wal}[0], 'flip', offset => 60);
my ($status, $stdout) = run_program([ @verify, '--json' ]);
is_deeply([ $status, sort map { $_->{object} } @{ JSON::decode_json($stdout)->{problems} } ], [ 1, sort $objects{pack}[0], $objects{wal}[0] ],
	'but what is cut, and headers that are harmed');
$repo->write_config('key-file' => $repo->key);
mend();

# --- a cycle of parts proves what one run would

sub told { return { map { $_->{label} => $_->{status} eq 'complete' ? $_->{verified_us} // 0 : $_->{status} } @{ run_json([ 'pitr-catalog', $repo->options, '--json', 'list' ], 'the list')->{backups} } } }
sub all_told { my ($answer) = @_; return { map { $_ => $answer } keys %backup } }
sub untell { damage($repo->path . "/$_", 'remove') for $repo->objects(qr{/fact/(verified|run)/}); return }
sub last_run { return (sort map { hex $1 if m{/([0-9a-f]{16})-} } $repo->objects(qr{/fact/run/}))[-1] }

untell();
run_report('--subset=1/2');
my $begun = last_run();
is_deeply(told(), all_told(0), 'one part of two proves nothing');
run_report('--subset=1/3');
run_report('--subset=1/2', '--wal');
$repo->write_config('key-file' => $repo->key . '.host');
run_report('--subset=2/2');
$repo->write_config('key-file' => $repo->key);
is_deeply(told(), all_told(0), '… nor one of three, one of WAL, or one with the host key');
run_report('--subset=2/2');
is_deeply(told(), all_told($begun), 'both prove it, from the older one on');
run_report('--subset=2/2');
my $again = last_run();
is_deeply([ told(), scalar(() = $repo->objects(qr{/fact/verified/})) ], [ all_told($begun), scalar keys %backup ], 'with the second again another cycle has begun');
run_report('--subset=1/2');
is_deeply(told(), all_told($again), '… and ends');

my ($held) = affected('pack', $objects{pack}[0]);
damage($repo->path . '/' . $objects{pack}[0], 'flip', offset => -1);
my ($part) = grep { @{ run_report("--subset=$_/2")->{problems} } } 1, 2;
is(told()->{$held}, 'damaged', 'what one part finds is said at once');
my $other_part = 3 - $part;
run_report("--subset=$other_part/2");
run_report("--subset=$part/2");
write_file($repo->path . '/' . $objects{pack}[0], $before->{ $objects{pack}[0] });
run_report("--subset=$part/2");
is(told()->{$held}, 'damaged', 'what was good before that proves nothing any more');
my $mended = last_run();
run_report("--subset=$other_part/2");
is(told()->{$held}, $mended, 'a whole cycle behind it does');

untell();
my $complete = (grep { m{/\Q$held\E/} } @{ $objects{fact} })[0];
damage($repo->path . "/$complete", 'remove');
run_report('--subset=1/2');
my $early = last_run();
write_file($repo->path . "/$complete", $before->{$complete});
run_report('--subset=2/2');
is_deeply(told(), { %{ all_told($early) }, $held => 0 }, 'what was completed between two parts has not been read in both');
mend();

# --- authentic, but wrong: made by somebody who has the key

my %kind = (wal => 4, pack => 6, manifest => 7, index => 9);

sub implementation {
	my ($verb, @arguments) = @_;
	my $stdin = ref $arguments[-1] ? ${ pop @arguments } : '';
	my ($status, $stdout, $stderr) = ('', '', '');
	IPC::Run::run([ 'python3', "$Pitr::ROOT/t/format/pitr_format.py", $verb, @arguments ], '<', \$stdin, '>', \$stdout, '2>', \$stderr)
	  or die "$verb: $stderr\n";
	return $stdout;
}

# The object with what the code makes of its content, or of what is beside it.
sub forge {
	my ($sort, $object, $change, $of) = @_;
	my ($key, $path) = map { ($_->key, $_->path) } $of // $repo;
	my $identity = JSON::decode_json(implementation('get', $key, $path, (($of // $repo)->objects(qr{/identity$}))[0]));
	my $content = implementation('get', $key, $path, $object);
	my $meta = $sort eq 'wal' ? implementation('meta', '--system-id', $identity->{system_identifier}, $key, "$path/$object", $object) : '';
	$change->() for ($sort eq 'wal' ? $meta : $content);
	my @meta = $sort eq 'wal' ? ('--meta', write_file("$Pitr::TEST_DIRECTORY/meta", $meta)) : ();
	my $sealed = implementation('seal', '--system-id', $identity->{system_identifier}, '--kind', $kind{$sort},
		'--class', $sort =~ /wal|pack/ ? 1 : 0, '--repository-id', $identity->{repository}, '--epoch', $identity->{epoch},
		'--public', $identity->{public}, @meta, $key, $object, \$content);
	damage("$path/$object", 'remove');
	write_file("$path/$object", $sealed);
	return;
}

for my $case (
	[ 'pack', sub { substr($_, int(length($_) / 2), 1) ^= "\1" }, qr/what it holds of "\S+" is not what the manifest of "\S+" says/ ],
	[ 'pack', sub { $_ = substr($_, 0, length($_) - 5000) }, undef ],
	[ 'manifest', sub { s/("extents":\[\[\d+,)\d+/${1}1000000000/ }, qr/bytes 1000000000 to \d+ lie outside of the pack/ ],
	[ 'manifest', sub { s/"digests":"[0-9a-f]{8}/"digests":"00000000/ }, undef ],
	[ 'manifest', sub { s{/pack/(.{34})/0000000}{/pack/$1/7777777} }, undef ],
	[ 'index', sub { s/"commits":\d+/"commits":77777/ for $_ }, qr/what it says of the segment "\w+" is not what is stored with that/ ],
	[ 'wal', sub { s/"commits":\d+/"commits":77777/ }, qr/its summary does not say what is in it/ ]) {
	my ($sort, $change, $pattern) = @$case;
	my $object = $objects{$sort}[-1];
	forge($sort, $object, $change);
	my $report = run_report();
	my ($problem) = @{ $report->{problems} };
	is($report->{status}, 'damaged', "$sort, forged: it is found");
	like($problem->{message}, $pattern, '… and said') if defined $pattern;
	is_deeply([ sort map { $_->{label} } grep { $_->{status} eq 'damaged' } @{ $report->{backups} } ], [ affected($sort, $object) ], '… and which backup it is')
	  if $sort ne 'wal';
	mend();
}
forge('manifest', $objects{manifest}[0], sub { });
is(run_report()->{status}, 'good', 'what is made anew as it was is good');
mend();

# --- what listings say of it, and what cannot be written

damage($repo->path . '/' . $objects{pack}[0], 'flip');
my ($bad) = affected('pack', $objects{pack}[0]);
my $text_of_damage = (run_program([@verify]))[1];
like($text_of_damage, qr/^damaged: \Q$objects{pack}[0]\E: .*^the backup \Q$bad\E of .* cannot be restored/ms, 'as text: what is damaged, and what that means');
my %status = map { $_->{label} => $_->{status} } @{ run_json([ 'pitr-catalog', $repo->options, '--json', 'list' ], 'the list')->{backups} };
is_deeply(\%status, { map { $_ => $_ eq $bad ? 'damaged' : 'complete' } keys %backup }, 'the damaged one is listed as such');
run_fails([ @verify, $bad ], 1, qr/^$/, 'one backup, the damaged one');
my ($other_label) = grep { $_ ne $bad } @by_place;
run_ok([ @verify, $other_label ], 'another one');
run_ok([ @verify, '--wal' ], 'WAL alone');
mend();
my ($middle) = grep { m{^\Q$branch\E/} } grep { my $n = number_of(m{([^/]+)$}); $n > segment_of($backup{ $by_place[1] }{stop_lsn}, 1) && $n < segment_of($backup{ $by_place[2] }{start_lsn}, 0) } @{ $objects{wal} };
damage($repo->path . "/$middle", 'remove');
like((run_program([@verify]))[1], qr/^nothing between \S+ \S+ and \S+ \S+ on timeline 1 can be restored; the backup \Q$by_place[2]\E starts anew/m,
	'a stretch of time that is lost');
mend();
my $facts = $repo->path . "/$branch/fact";
File::Path::remove_tree($facts);
write_file($facts, '');
my (undef, $said) = run_ok([@verify], 'what cannot be recorded is no failure');
like($said, qr/not recorded in the repository/, 'but said');
packs_crossed() if is_full_run();
done_testing();

# Pieces of files that lie in two packs.
sub packs_crossed {
	my $repo_of_large = repo('large', key => 1, compress => 'none');
	my $large = cluster('large', repo => $repo_of_large);
	$large->query(q{CREATE TABLE l AS SELECT repeat(md5(g::text), 20) AS filler FROM generate_series(1, 100000) g});
	run_ok([ 'pitr-basebackup', $repo_of_large->options, $large->connection, '--checkpoint=fast' ], 'a large backup');
	$large->stop;
	my @verify_large = ('pitr-verify', $repo_of_large->options, '--json');
	my @packs = $repo_of_large->objects(qr{/pack/});
	cmp_ok(scalar @packs, '>', 2, 'which has several packs');
	is(run_json(\@verify_large, 'it is verified')->{status}, 'good', 'it is good');
	my $saved = read_file($repo_of_large->path . "/$packs[1]");
	for my $at (-20, 20) {
		forge('pack', $packs[1], sub { substr($_, $at, 1) ^= "\1" }, $repo_of_large);
		my ($status, $stdout) = run_program(\@verify_large);
		my ($problem) = @{ JSON::decode_json($stdout)->{problems} };
		is($status, 1, 'a piece in two packs is not what it was');
		like($problem->{message}, qr/what it and others hold of "base\S+" is not what the manifest/, 'which is found');
		write_file($repo_of_large->path . "/$packs[1]", $saved);
	}
	return;
}

sub run_report {
	my (@options) = @_;
	my (undef, $answer) = run_program([ @verify, '--json', @options ]);
	return JSON::decode_json($answer);
}
