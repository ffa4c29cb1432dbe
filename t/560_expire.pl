# What goes and what stays: exactly what no promise needs, whatever listings show, whoever is writing at the same time, wherever
# the run is killed, whatever the store refuses to remove.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";
use Pitr;
use File::Basename ();
use File::Path ();
use List::Util qw(first);

my $repo    = repo('main', key => 1);
my $node    = cluster('source', repo => $repo, initdb => ['--wal-segsize=1'], log_commits => 1);
my @catalog = ('pitr-catalog', $repo->options);
my @backup  = ('pitr-basebackup', $repo->options, $node->connection, '--checkpoint=fast');
my @expire  = ('pitr-expire', $repo->options);
my $path    = $repo->path;

sub listed { return map { $_->{label} } @{ run_json([ @catalog, '--json', 'list' ], 'what is listed')->{backups} } }
sub state_of { my ($what) = @_; my @names = $what->objects; return [ grep { !m{/fact/run/|^tmp/} } @names ] }
sub segments { my @names = $repo->objects(qr{/wal/}); return map { m{/([0-9A-F]{24})$} ? $1 : () } @names }
sub goes { return map { $_->{label} } grep { $_->{goes} } @{ $_[0]{backups} } }

sub rows_make {
	my ($segments) = @_;
	$node->psql('postgres', join '', map { "INSERT INTO t DEFAULT VALUES;\nSELECT pg_switch_wal();\n" } 1 .. $segments);
	$node->archive_all;
	return;
}

# --- four backups, with WAL between them

run_fails([@expire], 2, qr/it is not said what to keep.*hint: .*keep-within/s, 'nothing is removed without being told what to keep');
is_deeply([ goes(run_json([ @expire, '--json', '--keep-last=1' ], 'without a backup')) ], [], 'nothing goes');
$node->query('CREATE TABLE t (id serial, at timestamptz DEFAULT clock_timestamp())');
rows_make(3);
my @labels;
for my $number (0 .. 3) {
	run_ok([ @backup, $number == 1 ? '--pin=90 days' : () ], "backup $number");
	rows_make(300) if $number == 0;
	rows_make(4);
	my %seen = map { $_ => 1 } @labels;
	push @labels, first { !$seen{$_} } listed();
}
my @all = listed();
my %backup = map { $_->{label} => $_ } @{ run_json([ @catalog, '--json', 'list' ], 'all of them')->{backups} };
my $before = state_of($repo);

# --- the plan

my $plan = run_json([ @expire, '--json', '--keep-last=2' ], 'a plan');
is_deeply([ goes($plan) ], [ $labels[0] ], 'the first backup goes');
my %reasons = map { $_->{label} => join ',', @{ $_->{reasons} } } @{ $plan->{backups} };
is_deeply(\%reasons, { $labels[0] => '', $labels[1] => 'pinned', $labels[2] => 'last', $labels[3] => 'last,newest' },
	'the others stay, and it is said why');
is_deeply([ goes(run_json([ @expire, '--json', '--keep-last=1', '--keep-daily=1' ], 'another')) ], [ @labels[ 0, 2 ] ],
	'a day counts once');
my @finished = map { $backup{$_}{finished_us} } @labels;
my ($base) = grep { $finished[$_] <= $finished[3] - 1e6 } 3, 2, 1, 0;
is_deeply([ goes(run_json([ @expire, '--json', '--keep-within=1s' ], 'a short window')) ],
	[ @labels[ grep { $_ < ($base // 0) && $_ != 1 } 0 .. 3 ] ],
	'the window begins with the newest that is older, which stays');
is_deeply([ goes(run_json([ @expire, '--json', '--keep-within=1 day' ], 'a long one')) ], [], 'in a long one nothing goes');
is_deeply([ goes(run_json([ @expire, '--json', '--keep-yearly=all' ], 'years')) ], [ @labels[ 0, 2 ] ], 'of a year the last');
like(run_ok([ @expire, '--keep-last=2' ], 'for people'), qr/^goes +\Q$labels[0]\E.*^stays +\Q$labels[1]\E .* pinned.*--apply/ms, 'the plan');
is_deeply(state_of($repo), $before, 'a plan removes nothing');

my $bound = sub {
	my ($lsn) = @_;
	my ($high, $low) = split m{/}, $lsn;
	return sprintf '%08X%08X%08X', 1, hex($high), hex($low) >> 20;
};

# --- listings that lie: what was there the last time is asked for by its name

run_ok([ @expire, '--keep-last=10', '--apply' ], 'a run that removes no backup remembers what there is');
my $first_segment = $bound->($backup{ $labels[0] }{start_lsn});
is_deeply([ grep { !m{/fact/} || m{/fact/pin/} } @{ state_of($repo) } ], [ grep { !m{/wal/.*/([0-9A-F]{24})} || $1 ge $first_segment } @$before ],
	'it has removed only WAL from before the first backup');
$before = state_of($repo);

my $so = "$Pitr::TEST_DIRECTORY/hide_names.so";
SKIP: {
	skip 'listings cannot be made to lie under the sanitizers', 1 if $ENV{TEST_PITR_SANITIZE};
	system('cc', '-D_GNU_SOURCE', '-shared', '-fPIC', '-o', $so, "$FindBin::RealBin/preload/hide_names.c", '-ldl') == 0
	  or die "could not compile hide_names.c\n";
	my @lies = (
		[ 'an entry of the catalog',      "$labels[1]/complete\$",                               qr/lacks ".*\Q$labels[1]\E/ ],
		[ 'a whole backup',               "(backup|pack|manifest|relation)/$labels[1]\$",        qr/lacks ".*\Q$labels[1]\E/ ],
		[ 'all backups but the first',    "(backup|pack|manifest|relation)/($labels[1]|$labels[2]|$labels[3])\$", qr/lacks "/ ],
		[ 'every entry',                  '/complete$',                                          qr/lacks "/ ],
		[ 'a pin',                        'fact/pin/',                                           qr/lacks ".*fact\/pin/ ],
		[ 'WAL of the newest backup',     '/' . $bound->($backup{ $labels[3] }{start_lsn}) . '$',             qr/lacks ".*\/wal\// ],
		[ 'WAL of the pinned backup',     '/' . $bound->($backup{ $labels[1] }{start_lsn}) . '$',             qr/lacks ".*\/wal\// ],
	);
	for my $lie (@lies) {
		my ($what, $pattern, $message) = @$lie;
		run_fails([ @expire, '--keep-last=1', '--apply' ], 1, $message, "a listing without $what is found out",
			env => { LD_PRELOAD => $so, HIDE_NAMES => $pattern });
		is_deeply(state_of($repo), $before, '… and nothing is removed');
	}
	my ($newest) = reverse sort map { m{/fact/run/([^/]+)$} } $repo->objects;
	my ($memory) = grep { m{/fact/run/\Q$newest\E$} } $repo->objects;
	my $whole = read_file("$path/$memory");
	chmod 0600, "$path/$memory";
	write_file("$path/$memory", substr($whole, 0, 100) . 'x' . substr($whole, 101));
	run_fails([ @expire, '--keep-last=1', '--apply' ], 1, qr/1 facts cannot be read, so nothing is removed/, 'memory cannot be taken away by damage');
	write_file("$path/$memory", $whole);
	for my $lie ([ 'anything', '/main/[0-9]+/main/' ], [ 'any WAL', '/wal/00000001$' ], [ 'the last segments', '/wal/00000001/.*[A-F0-9]$' ]) {
		my ($what, $pattern) = @$lie;
		my ($status) = run_program([ @expire, '--keep-last=1', '--apply' ], env => { LD_PRELOAD => $so, HIDE_NAMES => $pattern });
		is_deeply(state_of($repo), $before, "a listing without $what makes nothing go (status $status)");
	}
}

# --- killed anywhere: everything listed can be restored, and the next run removes the rest

my $spare = repo('spare', key => 1);
my $copy  = sub {
	system('rm', '-rf', $spare->path) == 0 && system('cp', '-a', $path, $spare->path) == 0 or die "could not copy the repository\n";
	return;
};
$spare->write_config('key-file' => $repo->key);
my @on_copy = ('pitr-expire', $spare->options, '--keep-last=2', '--jobs=1', '--apply');
$copy->();
run_ok([@on_copy], 'a run that is not killed');
my $final = state_of($spare);
my $stable = sub { return [ map { s{/fact/retired/.*}{/fact/retired/}r } @{ $_[0] } ] };
my %retired = map { $_ => read_file($spare->path . "/$_") } $spare->objects(qr{/fact/retired/});
$copy->();
my ($entry) = $spare->objects(qr{/backup/\Q$labels[0]\E/complete$});
unlink $spare->path . "/$entry" or die;
for (keys %retired) {
	my $file = $spare->path . "/$_";
	File::Path::make_path(File::Basename::dirname($file));
	write_file($file, $retired{$_});
}
my $rest = run_json([ @on_copy, '--json' ], 'the next run after one that had only begun to remove a backup');
is_deeply([ map { "$_->{label} $_->{goes}" } @{ $rest->{unfinished} } ], ["$labels[0] 1"], 'sees what is left of it');
is_deeply([ grep { !m{/fact/retired/} } @{ state_of($spare) } ], [ grep { !m{/fact/retired/} } @$final ], 'and removes it');
kill_at_every_syscall('whoever expires is killed',
	command => [@on_copy],
	before  => $copy,
	from    => qr{fact/retired},
	every   => is_full_run() ? 1 : 307,
	may_survive => 0.5,
	after   => sub {
		my %there = map { $_ => 1 } @{ state_of($spare) };
		for my $label (@labels) {
			my @needs = grep { m{/(?:pack|manifest|relation)/\Q$label\E/} } @$before;
			my $is_listed = grep { m{/backup/\Q$label\E/complete$} } keys %there;
			return "the backup $label is listed and not whole" if $is_listed && grep { !$there{$_} } @needs;
			return "the backup $label is gone" if !$is_listed && $label ne $labels[0];
		}
		my ($status, undef, $stderr) = run_program([@on_copy]);
		return "the next run fails: $stderr" if $status != 0;
		my @left = grep { !m{/fact/retired/} } @{ state_of($spare) };
		my @wanted = grep { !m{/fact/retired/} } @$final;
		return "@left" eq "@wanted" ? undef : 'the next run does not remove the rest';
	});

# --- what does not count

my @newest = grep { m{/pack/\Q$labels[3]\E/} } @$before;
$copy->();
unlink $spare->path . "/$newest[0]" or die;
my $broken = run_json([ 'pitr-expire', $spare->options, '--json', '--keep-last=1', '--apply' ], 'the newest has lost a pack');
is_deeply([ map { "$_->{label} " . join ',', @{ $_->{reasons} } } grep { !$_->{goes} } @{ $broken->{backups} } ],
	[ "$labels[1] pinned", "$labels[2] last,newest", "$labels[3] doubtful" ], 'it makes no other go');
$copy->();
my @verify = ('pitr-verify', $spare->options, $labels[3]);
rename $spare->path . "/$newest[0]", "$Pitr::TEST_DIRECTORY/pack" or die;
run_fails([@verify], 1, qr//, 'it is found to be damaged');
my ($verdict) = $spare->objects(qr{/fact/verified/});
my $status_of = sub { return map { $_->{label} eq $labels[3] ? $_->{status} : () } @{ run_json([ 'pitr-catalog', $spare->options, '--json', 'list' ], 'status')->{backups} } };
is_deeply([ $status_of->() ], ['damaged'], 'it is listed so');
rename "$Pitr::TEST_DIRECTORY/pack", $spare->path . "/$newest[0]" or die;
rename $spare->path . "/$verdict", "$Pitr::TEST_DIRECTORY/verdict" or die;
run_ok([@verify], 'somebody has not heard of it, and finds it whole');
rename "$Pitr::TEST_DIRECTORY/verdict", $spare->path . "/$verdict" or die;
is_deeply([ $status_of->() ], ['damaged'], 'a later word that does not name the damage does not take it back');
run_ok([@verify], 'now it has');
is_deeply([ $status_of->() ], ['complete'], 'and takes it back');

# --- pinned between the plan and the removal: it stays, or whoever pins it is told

SKIP: {
	skip 'nothing can be preloaded under the sanitizers', 1 if $ENV{TEST_PITR_SANITIZE};
	my $run_at = "$Pitr::TEST_DIRECTORY/run_at.so";
	system('cc', '-D_GNU_SOURCE', '-shared', '-fPIC', '-o', $run_at, "$FindBin::RealBin/preload/run_at.c", '-ldl') == 0
	  or die "could not compile run_at.c\n";
	my $pins = sub {
		my ($moment) = @_;
		$copy->();
		my $pin = join ' ', "$ENV{TEST_PITR_BIN}/pitr-catalog", $spare->options, 'pin', $labels[0];
		run_ok([@on_copy], "a pin at $moment", env => { LD_PRELOAD => $run_at, RUN_AT => $moment, RUN => "$pin 2> $run_at.said; true" });
		my @complete = $spare->objects(qr{/backup/\Q$labels[0]\E/complete$});
		return (scalar(@complete), read_file("$run_at.said"));
	};
	my ($is_there, $answer) = $pins->('/fact/retired/');
	is($is_there, 1, 'a backup stays that is pinned before it is retired') or diag($answer);
	like($answer, qr/is pinned for ever/, '… and that is said');
	is_deeply([ grep { m{/$labels[0]/} } @{ state_of($spare) } ], [ grep { m{/$labels[0]/} } @$before ], 'all of it is there');
	run_ok([ 'pitr-catalog', $spare->options, 'pin', $labels[0] ], 'nothing is left that says that it goes');
	($is_there, $answer) = $pins->("/backup/$labels[0]/complete");
	is($is_there, 0, 'it goes when the pin comes later');
	like($answer, qr/is being removed, and the pin may have come too late/, 'that is said too');
}

# --- what is not ours stays, and so does what the store does not give away

my ($branch) = map { m{^(main/\d+/main)/} } @$before;
write_file("$path/$branch/wal/notes.txt", 'ours');
my $stubborn = first { m{/wal/} } @$before;
(my $folder = "$path/$stubborn") =~ s{/[^/]+$}{};
chmod 0500, $folder or die;
my ($status, $stdout, $stderr) = run_program([ @expire, '--keep-last=2', '--apply' ]);
is($status, 1, 'what cannot be removed makes the run fail');
like($stderr, qr/error: \d+ objects could not be removed: /, 'it is said');
like($stdout, qr{^stays +\Q$branch\E/wal/\S+: .*Permission denied}m, 'which, and why');
like($stdout, qr/^stays +\S*notes\.txt: not known what it is/m, 'what is not known is named and left');
ok(-e "$path/$branch/wal/notes.txt", 'it is still there');
is_deeply([ listed() ], [ grep { $_ ne $labels[0] } @all ], 'everything else went all the same');
chmod 0700, $folder or die;

# --- what was to be removed and stays is a hole when it is missing

$copy->();
run_ok([ 'pitr-expire', $spare->options, '--keep-last=10', '--apply' ], 'a policy that keeps what was refused');
my $gaps = sub { return scalar @{ run_json([ 'pitr-catalog', $spare->options, '--json', 'window' ], 'holes')->{gaps} } };
my $behind = $gaps->();
my @between = grep { m{/wal/.*/([0-9A-F]{24})$} && $1 gt $bound->($backup{ $labels[1] }{stop_lsn}) && $1 lt $bound->($backup{ $labels[2] }{start_lsn}) } @{ state_of($spare) };
unlink $spare->path . "/$between[1]" or die;
is($gaps->(), $behind + 1, 'then one that is lost is a hole');

# --- and it goes

my $said = run_json([ @expire, '--json', '--keep-last=2', '--apply' ], 'the next run');
is($said->{refused_count}, 0, 'nothing is refused now');
unlink "$path/$branch/wal/notes.txt";
is_deeply($stable->(state_of($repo)), $stable->($final), 'what stays is what stayed in the copy');
is(scalar(grep { m{/\Q$labels[0]\E/} } @{ state_of($repo) }), 0, 'nothing is left of the backup');
my ($pinned, $oldest) = @backup{ @labels[ 1, 2 ] };
is_deeply([ grep { $_ lt $bound->($pinned->{start_lsn}) } segments() ], [], 'no WAL from before the pinned backup');
is_deeply([ grep { $_ gt $bound->($pinned->{stop_lsn}) && $_ lt $bound->($oldest->{start_lsn}) } segments() ], [],
	'none between it and the window');
is(scalar(grep { /^0{8}/ } segments()), 0, 'names are names');
is(run_ok([ @expire, '--keep-last=2' ], 'again') =~ /^nothing goes$/m, 1, 'nothing more goes');
is(scalar(my @blocks = $repo->objects(qr{/index/})), scalar(grep { m{/index/} } @$final), 'the index went with its WAL');
ok(scalar(grep { m{/index/} } @$before) > @blocks, '… some of it did');

# --- what was promised

my $some = $node->query("SELECT count(*) FROM t");
my $one = restore('pinned', source => $node, repo => $repo, options => [ '--backup', $labels[1], '--target-immediate' ]);
is($one->query('SELECT count(*) FROM t'), 307, 'the pinned backup can be restored');
$one->stop;
my $at = $node->query('SELECT at FROM t ORDER BY id DESC OFFSET 2 LIMIT 1');
my $two = restore('window', source => $node, repo => $repo, target => [ '--target-time', $at ]);
is($two->query('SELECT count(*) FROM t'), $some - 3, 'and a moment of the window');
$two->stop;
my ($oldest_finish) = map { $_->{finished_us} } $oldest;
run_fails([ 'pitr-restore', $repo->options, '--dry-run', '--target-time', $node->query('SELECT at FROM t ORDER BY id OFFSET 305 LIMIT 1') ],
	2, qr/is before the end of the first backup/, 'a moment before it cannot');

# --- nobody takes that for a hole

is_deeply(run_json([ @catalog, '--json', 'window' ], 'windows')->{gaps}, [], 'no hole is reported where WAL was removed');
is(scalar(my @facts = $repo->objects(qr{/fact/retired/})), 2, 'a fact for the backup, and one for all WAL');
run_ok([ 'pitr-check', $repo->options, '--system=' . ($branch =~ m{/(\d+)/})[0] ], 'monitoring finds nothing missing');

# --- while somebody else takes a backup and archives

my $command = $node->query('SHOW archive_command');
my $archive = sub {
	$node->append_conf('postgresql.conf', "archive_command = '$_[0]'\n");
	$node->reload;
	return;
};
$archive->('false');    # what it waits for does not come
my $pid = fork // die;
if ($pid == 0) {
	open STDERR, '>', "$Pitr::TEST_DIRECTORY/backup.log";
	exec "$ENV{TEST_PITR_BIN}/pitr-basebackup", @backup[ 1 .. $#backup ];
}
my %known = map { $_ => 1 } @labels;
ok(wait_until(sub { grep { m{/manifest/([^/]+)/} && !$known{$1} } $repo->objects(qr{/manifest/}) }), 'a backup is being taken');
my $meanwhile = run_json([ @expire, '--json', '--keep-last=1', '--apply' ], 'expiring while a backup is taken');
is(scalar(grep { !$_->{goes} && !$_->{retired} } @{ $meanwhile->{unfinished} }), 1, 'it is seen, and left alone');
is_deeply([ goes($meanwhile) ], [ $labels[2] ], 'another goes');
my ($unfinished) = map { m{/manifest/([^/]+)/} && !$known{$1} ? $1 : () } $repo->objects(qr{/manifest/});
my $spoiled = fork // die;
if ($spoiled == 0) {
	open STDERR, '>', "$Pitr::TEST_DIRECTORY/spoiled.log";
	exec "$ENV{TEST_PITR_BIN}/pitr-basebackup", @backup[ 1 .. $#backup ];
}
my $part;
ok(wait_until(sub { ($part) = grep { m{/manifest/([^/]+)/} && !$known{$1} && $1 ne $unfinished } $repo->objects(qr{/manifest/}) }), 'another');
unlink "$path/$part" or die;
$archive->($command);
rows_make(2);
waitpid $spoiled, 0;
isnt($?, 0, 'a backup that was taken for broken off does not end well');
like(read_file("$Pitr::TEST_DIRECTORY/spoiled.log"), qr/took so long that pitr-expire has taken it for broken off/, 'it is said why');
is(scalar(grep { $part =~ m{/manifest/\Q$_\E/} } listed()), 0, 'it is not listed');
waitpid $pid, 0;
is($?, 0, 'the backup comes to its end') or diag(read_file("$Pitr::TEST_DIRECTORY/backup.log"));
my $rows = $node->query("SELECT count(*) FROM t");
$node->archive_all;
run_ok([ @expire, '--keep-last=1', '--apply' ], 'then the one before it goes');
my @now = listed();
is(scalar(@now), 2, 'the pinned one and the new one are left');
my $three = restore('latest', source => $node, repo => $repo);
is($three->query('SELECT count(*) FROM t'), $rows, 'the latest can be restored');
$three->stop;

# --- a copy reads what lies before it from where it comes from

my $copied = restore('copy', source => $node, repo => $repo, target => ['--target-action=promote']);
my $name = $copied->query('SHOW pitr.branch');
$copied->query('INSERT INTO t DEFAULT VALUES');
$copied->archive_all;
$rows = $copied->query('SELECT count(*) FROM t');
$copied->stop;
for (1 .. 2) {
	rows_make(2);
	run_ok([@backup], 'production goes on');
}
my $kept = run_json([ @expire, '--json', '--keep-last=1', '--apply' ], 'expiring when there is a copy');
is_deeply([ map { $_->{reasons} } grep { $_->{label} eq $now[1] } @{ $kept->{backups} } ], [ ['newest'] ], 'the copy needs a backup');
is(scalar(goes($kept)), 1, 'the one behind it goes');
my $four = restore('of_copy', source => $node, repo => $repo, target => [ "--target-timeline=$name", '--target-action=promote' ]);
is($four->query('SELECT count(*) FROM t'), $rows, 'the copy can be restored');
$four->stop;
$node->stop;

done_testing();
