# Each line of pitr-check provoked once, with its exit status and sentence, and the numbers in all three formats.
# sanitizer: yes
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use Pitr;
use Pitr::Document;

use IPC::Run ();
use JSON  ();

my $repo = repo('main', key => 1);
my $host_key = $repo->key . '.host';
my @base = ($repo->options);

# --- what the others use ---------------------------------------------------------------------------------------------

# The times of files stay as they are; and the sanitizers are to bear with a library before theirs.
my %faked = (NO_FAKE_STAT => 1, ASAN_OPTIONS => join ':', $ENV{ASAN_OPTIONS} // (), 'verify_asan_link_order=0');

# Its answer at another time. A process id of which faketime has been killed once cannot be used again.
sub run_check {
	my ($words, $at) = @_;
	return run_program([ 'pitr-check', @$words ]) if !$at;
	my @answer;
	for (1 .. 5) {
		@answer = run_program([ 'faketime', '-f', $at, "$Pitr::BIN/pitr-check", @$words ], env => \%faked);
		last if $answer[2] !~ /^faketime: sem_open: File exists/;
	}
	return @answer;
}

# The line, its numbers and the hints, after the exit status and the sentence have been compared.
sub check_is {
	my ($words, $expected, $pattern, $title, %options) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($status, $stdout, $stderr) = run_check($words, $options{at});
	my ($line, $numbers) = $stdout =~ /\A([^\n|]+?)(?: \| ([^\n|]*))?\n\z/;
	ok($status == $expected && ($line // '') =~ $pattern, $title)
	  or diag("status $status, expected $expected\nstdout: $stdout\nstderr: $stderr\nexpected: $pattern");
	return ($numbers // '', $stderr);
}

sub backup { my ($node, $title) = @_; return run_ok([ 'pitr-basebackup', $repo->options, $node->connection, '--checkpoint=fast' ], $title) }

our $branch;
sub forge { return run_ok([ '/usr/bin/python3', '-B', "$Pitr::ROOT/t/format/forge_facts.py", $host_key, $repo->path, $branch, @_ ], "it is told: @_") }

# A further one, of which all is there that is asked for.
sub forge_backup {
	my ($of, $random, @members) = @_;
	forge('content', substr($of, 0, 26) . $random);
	return forge('backup', $of, $random, 'stored_bytes=0', @members);
}

# Gone again.
sub forget { my ($pattern) = @_; unlink map { $repo->path . "/$_" } $repo->objects($pattern); return }

# --- nothing to ask --------------------------------------------------------------------------------------------------

check_is([], 3, qr/^PITR UNKNOWN - no repository is set$/, 'without settings nothing is known');
run_fails([ 'pitr-check', '--format=xml' ], 3, qr/invalid value "xml" for "format"/, 'a format that there is not is refused');

my $node = cluster('source', repo => $repo, initdb => ['--wal-segsize=1'], conf => "autovacuum = off\n");
$repo->write_config('key-file' => $host_key, pgdata => $node->data_dir);
$node->archive_all;
my (undef, $hints) = check_is(\@base, 2, qr/^PITR CRITICAL - WAL is archived but there is no base backup: point-in-time recovery is impossible$/,
	'WAL without a base backup is of no use');
like($hints, qr/hint: Take one with pitr-basebackup/, '… and the hint says what to do');
backup($node, 'a base backup');
($branch) = map { s{/backup/.*}{}r } $repo->objects(qr{/complete$});
my ($label) = map { m{/backup/(.*)/complete$} } $repo->objects(qr{/complete$});
$node->archive_all;

# --- all is well -----------------------------------------------------------------------------------------------------

my ($numbers) = check_is(\@base, 0,
	qr/^PITR OK - the repository .* answers; 1 key can read what is stored; 1 base backup, the last of .*; the server's WAL is what is stored; no WAL is missing; 1 of 1 base backups of the last 30 days succeeded; no retention is set: nothing is ever removed; no WAL waits to be archived; wal_level is replica, and archiving is on; the repository has .* free of .*; pg_wal has .* free of/,
	'all is well');
like($numbers, qr/^'backups'=1 'backup_age'=\d+s;90000;108000 'backup_database'=\d+B 'backup_stored'=\d+B 'archive_lag'=0s;300;1800 'archive_waiting'=0 'wal_gaps'=0 'restore'=\d+s 'backup_runs'=1 'backup_failures'=0 'repository_free'=\d+B 'pg_wal_free'=\d+B$/,
	'… with the numbers, and where they begin to be bad');

my $json = run_json([ 'pitr-check', @base, '--format=json' ], 'the same as JSON');
is($json->{status}, 'OK', '… says so');
is($json->{metrics}{backups}, 1, '… has the numbers');
is(join(' ', map { $_->{check} } @{ $json->{checks} }), 'repository keys backup server wal runs retention archive settings space space', '… and each question');
is_deeply([ sort keys %{ run_json([ 'pitr-check', @base, '--json' ], 'as --json')->{metrics} } ], [ sort keys %{ $json->{metrics} } ], '… prints it too');

# What promtool has to say of the text for Prometheus.
sub promtool_says {
	my ($text) = @_;
	my ($out, $err) = ('', '');
	IPC::Run::run([ 'promtool', 'check', 'metrics' ], '<', \$text, '>', \$out, '2>', \$err);
	return ($? >> 8) . " $out$err";
}
my $prometheus = run_ok([ 'pitr-check', @base, '--format=prometheus' ], 'the same for Prometheus');
is(promtool_says($prometheus), '0 ', 'promtool accepts it');
my ($today, @page) = split /\n/, run_ok([ 'pitr-check', @base, '--format=text' ], 'the same for people');
like($today, qr/^OK: cluster "main", \d{4}-/, '… with a title');
is(scalar(grep { /^OK        \w+ +\S/ } @page), scalar @{ $json->{checks} }, '… and a line for each question');
my $document = Pitr::Document::read_document($node->data_dir . '/pitr.check');
my @sentences = map { "$_->{check} $_->{status} $_->{text}$_->{hint}" } @{ $document->{findings} };
is_deeply([ map { s/\d+//gr } @sentences ], [ map { "$_->{check} $_->{status} $_->{message}" =~ s/\d+//gr } @{ $json->{checks} } ], 'the data directory has them too');
like($document->{program}, qr/^pitr-check \d/, '… and says whose they are');
isnt(promtool_says("# TYPE pitr_backups counter\npitr_backups 1\n"), '0 ', '… which it does not with everything');
like($prometheus, qr/^# HELP pitr_last_backup_timestamp_seconds .*\n# TYPE pitr_last_backup_timestamp_seconds gauge\npitr_last_backup_timestamp_seconds\{cluster="main"\} \d{10}$/m, 'with the time of the last backup');
like($prometheus, qr/^pitr_check_status\{cluster="main"\} 0$/m, '… the status');
like($prometheus, qr/^pitr_check_question_status\{cluster="main",check="backup"\} 0$/m, '… and that of each question');
my %names = map { $_ => 1 } $prometheus =~ /^(\w+)\{/mg;
is(join(' ', sort grep { !/^pitr_check_/ } keys %names), 'pitr_archive_lag_seconds pitr_archive_waiting_files pitr_backups pitr_last_backup_database_bytes '
	. 'pitr_last_backup_stored_bytes pitr_last_backup_timestamp_seconds pitr_pg_wal_free_bytes pitr_predicted_restore_seconds pitr_recent_backup_failures pitr_recent_backup_runs pitr_repository_free_bytes pitr_wal_gaps', '… and these numbers');

# --- the base backup -------------------------------------------------------------------------------------------------

my @remote = (@base, '--pgdata=/nowhere-' . $$);    # without the server
check_is(\@remote, 3, qr/^PITR UNKNOWN - "\/nowhere-$$" is not a data directory$/, 'a data directory that is none');
$repo->write_config(pgdata => undef);
check_is(\@base, 0, qr/^PITR OK/, 'without a data directory');
check_is(\@base, 1, qr/^PITR WARNING - the last base backup is 2[56] h \d+ min old, and should not be older than 25 h 0 min: it is of /, 'after 25 hours', at => '+1510m');
($numbers) = check_is(\@base, 2, qr/^PITR CRITICAL - the last base backup is 3[01] h \d+ min old, and should not be older than 30 h 0 min/, 'after 30 hours', at => '+1810m');
check_is([ @base, '--backup-warning=2 days', '--backup-critical=3 days' ], 0, qr/^PITR OK/, '… unless that is meant', at => '+1810m');
check_is(\@base, 1, qr/^PITR WARNING - the last base backup ended 3 h 0 min in the future|^PITR WARNING - the last base backup ended 2 h 59 min in the future/,
	'a clock that is behind', at => '-180m');

my $size = 0 + $json->{metrics}{backup_database};
my $start_us = int((time() - 3600) * 1e6);
forge_backup($label, "0000000$_", 'finished_us=' . ($start_us + $_), "database_bytes=$size") for 1 .. 3;
check_is(\@base, 0, qr/^PITR OK.* 4 base backups/, 'backups of the usual size');
forge_backup($label, '00000004', 'finished_us=' . int((time() + 2) * 1e6), 'database_bytes=' . int($size * 0.4));
check_is(\@base, 1, qr/^PITR WARNING - the last base backup is of \d+ \wB of database, and those before it were of about \d+ \wB$/, 'one that is much smaller');
forget(qr{-00000004/complete$});
forge_backup($label, '00000005', 'finished_us=' . int((time() + 2) * 1e6), 'database_bytes=' . int($size * 2.5));
check_is(\@base, 1, qr/^PITR WARNING - the last base backup is of/, '… or much larger');
forget(qr{-0000000\d/complete$});

my $verified = int(time() * 1e6);
forge('verified', $verified, "label=\"$label\"", 'good=false');
check_is(\@base, 2, qr/^PITR CRITICAL - every base backup is damaged, as pitr-verify has found: PITR is impossible$/, 'the only one is damaged');
backup($node, 'another one');
check_is(\@base, 0, qr/^PITR OK.*2 base backups/, 'with another one, all is well');
my ($second) = grep { $_ ne $label } map { m{/backup/(.*)/complete$} } $repo->objects(qr{/complete$});
forge('verified', $verified + 1, "label=\"$second\"", 'good=false');
forget(qr{/fact/verified/} . sprintf('%016x', $verified));
check_is(\@base, 2, qr/^PITR CRITICAL - the last base backup, "$second", is damaged, as pitr-verify has found$/, 'the last one is damaged');
forget(qr{/fact/verified/});

forge('run', int(time() * 1e6), 'program="pitr-verify"', 'good=false', 'text="could not read a pack"');
check_is(\@base, 1, qr/^PITR WARNING - the last run of pitr-verify, on host "elsewhere" at .*, failed: could not read a pack$/, 'a program that failed');
forge('run', int(time() * 1e6) + 1, 'program="pitr-verify"', 'good=true');
check_is(\@base, 0, qr/^PITR OK/, '… and then did not');
forge('run', int((time() - 7200) * 1e6), 'program="pitr-basebackup"', 'good=false', 'text="no"');
check_is(\@base, 0, qr/^PITR OK/, '… a base backup that was taken later is enough');
forge('run', int((time() - 86400) * 1e6), 'program="pitr-basebackup"', 'good=false', 'text="no"');
($numbers) = check_is(\@base, 1, qr/^PITR WARNING - 2 of 4 base backups of the last 30 days succeeded$/, 'two of four failed');
like($numbers, qr/'backup_runs'=4 'backup_failures'=2 /, '… in numbers');
check_is([ @base, '--success-warning=50' ], 0, qr/^PITR OK/, '… unless that is meant');
forge('retired', int(time() * 1e6) + $_, "label=\"00000001-0000000001000028-0000000$_\"", "detail={\"finished_us\":" . int((time() - 3600) * 1e6) . '}') for 1 .. 9;
forge('retired', int(time() * 1e6), 'label="00000001-0000000001000028-00000000"', 'detail={"finished_us":' . int((time() - 40 * 86400) * 1e6) . '}');
check_is(\@base, 1, qr/^PITR WARNING - 11 of 13 base backups of the last 30 days succeeded$/, 'what has been removed since counts, what is older does not');
forget(qr{/fact/(?:run|retired)/});

# --- how long would it take? -----------------------------------------------------------------------------------------

sub forge_restore { my ($time, @members) = @_; return forge('restore', $time, "label=\"$label\"", 'host="elsewhere"', "finished_us=$time", @members) }
forge_restore(int(time() * 1e6), 'download_bytes=1000000', 'download_ms=3600000', 'replay_bytes=1000000', 'replay_ms=3600000');
($numbers) = check_is([ @base, '--rto=2h' ], 1, qr/^PITR WARNING - a restore of the latest state is expected to take \d+ h \d+ min, and is to take less than 2 h 0 min$/,
	'it would take longer than promised');
like($numbers, qr/'restore'=\d{5}s;7200;7200 /, '… in numbers');
check_is([ @base, '--rto=90 days' ], 0, qr/^PITR OK.*; a restore of the latest state is expected to take \d+ h \d+ min \(rto: 2160 h 0 min\);/, '… but not forever');
$repo->write_config(rto => '2h');
check_is(\@base, 1, qr/^PITR WARNING - a restore of the latest state is expected to take/, '… and the configuration file may declare it');
$repo->write_config(rto => undef);
forget(qr{/restore/});
check_is([ @base, '--rto=1h' ], 0, qr/^PITR OK/, 'without a measurement it is guessed');

# --- retention -------------------------------------------------------------------------------------------------------

my $day = 86400;
check_is([ @base, '--keep-last=3' ], 0, qr/; backups are as frequent as the retention counts them;/, 'retention without a window');
($numbers) = check_is([ @base, '--keep-within=30 days' ], 0, qr/; the window of 30 days is not full yet: every moment from \d{4}-.* on can be restored;/, 'a window that is not full yet');
like($numbers, qr/ 'window'=\d+s /, '… how much of it is');
check_is([ @base, '--keep-within=1s' ], 0, qr/; every moment of the last 1 s can be restored;/, '… and one that is');
forge('retired', int(time() * 1e6), sprintf 'detail={"segment_size":%d,"wal":[{"branch":"main","timeline":1,"first":0,"last":%d}]}', 1 << 20, hex(substr $label, 17, 8) / (1 << 20) - 1);
check_is([ @base, '--keep-within=30 days' ], 1, qr/^PITR WARNING - not every moment of the last 30 days, which keep-within declares, can be restored, but only from .* on: what was before has been removed$/,
	'a window that has been cut short');
check_is([ @base, '--keep-within=1s' ], 0, qr/; every moment of the last 1 s can be restored;/, '… or not so far');
forget(qr{/fact/retired/});
forge_backup($label, sprintf('0000001%d', $_), 'finished_us=' . int((time() - 3 * $_ * $day) * 1e6)) for 1 .. 3;
check_is([ @base, '--keep-daily=7' ], 1, qr/^PITR WARNING - keep-daily counts days that have a base backup, and 4 of the last 6 have none$/, 'backups every three days, where days are counted');
check_is([ @base, '--keep-daily=2' ], 0, qr/; backups are as frequent/, '… of which yesterday may be one without');
check_is([ @base, '--keep-weekly=3' ], 0, qr/; backups are as frequent/, '… and every week has one');
forget(qr{-0000001\d/complete$});

# --- keys ------------------------------------------------------------------------------------------------------------

my $key_file = $repo->key . '-second';
run_ok([ 'pitr-catalog', 'keygen', $key_file, "--host-key-of=$host_key" ], 'another key');
my @secret = (@base, '--key-file=' . $repo->key);
run_ok([ 'pitr-catalog', @secret, 'key', 'add', $key_file ], '… is added');
my ($fingerprint) = read_file($repo->key) =~ /^# pitr key ([0-9a-f]{16})/;
run_ok([ 'pitr-catalog', @base, "--key-file=$key_file", 'key', 'remove', $fingerprint ], 'the first one is retired');
check_is(\@secret, 1, qr/^PITR WARNING - the key in ".*" has been retired: it cannot restore what is stored now$/, 'with that, there is a warning');
check_is(\@base, 0, qr/1 key can read what is stored/, '… but not on a host');
run_ok([ '/usr/bin/python3', '-B', "$Pitr::ROOT/t/format/forge_keys.py", $host_key, $repo->path, 'main', 'recipient', 2 ], 'a recipient is forged');
check_is([ @base, "--key-file=$key_file" ], 1, qr/^PITR WARNING - 1 recipient was stored by somebody who had no secret key$/, '… and seen with a secret key');
forget(qr{/key/00000002/recipient/});
check_is(\@base, 2, qr/^PITR CRITICAL - there is no key that can read what is stored in key epoch 2, the current one$/, 'without any recipient all is in vain');
run_ok([ '/usr/bin/python3', '-B', "$Pitr::ROOT/t/format/forge_keys.py", $host_key, $repo->path, 'main', 'epoch', 3 ], 'an epoch is forged');
check_is(\@secret, 2, qr/CRITICAL - there is no key that can read what is stored in key epoch [23]/, '… by which nobody reads');
forget(qr{/key/0000000[23]/});
check_is([ @base, '--key-file=' . $repo->key . '-none' ], 2, qr/^PITR CRITICAL - could not open key file ".*-none": No such file or directory$/, 'a key file that is missing');
my $plain = repo('plain');
$plain->init($node);
check_is([ $plain->options, '--expect-encryption' ], 2, qr/^PITR CRITICAL - the repository is not encrypted, and should be; no base backup/, 'encryption is expected and off');
check_is([ $plain->options ], 2, qr/^PITR CRITICAL - no base backup: PITR is impossible$/, '… and not a matter otherwise');
check_is([ @base, '--expect-encryption' ], 0, qr/^PITR OK/, '… where it is on');

# --- can it be written to? -------------------------------------------------------------------------------------------

my $before = join "\n", $repo->objects;
check_is([ @base, '--canary' ], 0, qr/^PITR OK.*; objects can be stored, and none is replaced;/, 'a canary is stored');
is(join("\n", $repo->objects), $before, '… and taken away again');
chmod 0500, $repo->path . '/main', $repo->path . '/tmp', glob $repo->path . '/main/canary';
check_is([ @base, '--canary' ], 2, qr/^PITR CRITICAL - the repository is not fit for use: could not .*Permission denied/, 'one that cannot be written to');
check_is(\@base, 0, qr/^PITR OK/, '… is not noticed without it');
chmod 0700, $repo->path . '/main', $repo->path . '/tmp', glob $repo->path . '/main/canary';

# --- what is gone ----------------------------------------------------------------------------------------------------

# Of a copy of the repository, in which something happens.
my $copy = $repo->path . '-copy';
my @copied = (@base, "--repo=$copy");
sub copy_is {
	my ($change, @more) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	system('rm', '-rf', $copy) == 0 && system('cp', '-a', $repo->path, $copy) == 0 or die;
	$change->();
	my $words = ref $more[0] ? shift @more : \@copied;
	return check_is($words, @more);
}
sub copy_lacks { unlink map { "$copy/$_" } $repo->objects($_[0]) or die "nothing is like $_[0]\n"; return }

my $segment_of = sub { sprintf '%s%08X%08X', substr($_[0], 0, 8), 0, hex(substr $_[0], 17, 8) >> 20 };
my ($older, $newer) = map { $segment_of->($_) } $label, $second;
copy_is(sub { copy_lacks(qr{/wal/}) }, 2, qr/CRITICAL - the base backup "$second" cannot be restored: there is no WAL of its timeline, or/, 'no WAL at all');
copy_is(sub { for (map { m{/([0-9A-F]{24})$} } $repo->objects(qr{/wal/})) { copy_lacks(qr{/$_$}) if $_ ge $newer } }, 2,
	qr/CRITICAL - the base backup "$second" cannot be restored: the archive lacks "$newer", which it needs/, 'no WAL from the last base backup on: there is none behind the hole');
copy_is(sub { copy_lacks(qr{/wal/.*/$older$}) }, 1, qr/^PITR WARNING - .*; the base backup "$label" cannot be restored: the archive lacks "$older", which it needs$/, 'the WAL of an older one');
for my $sort ('manifest', 'pack') {
	copy_is(sub { copy_lacks(qr{/$sort/$second/}) }, 2, qr/^PITR CRITICAL - the last base backup, "$second", cannot be restored: its $sort .*is missing or damaged$/, "no $sort of the last base backup");
}
copy_is(sub { truncate "$copy/" . ($repo->objects(qr{/pack/$second/}))[0], 8192 }, 2, qr/^PITR CRITICAL - the last base backup, "$second", cannot be restored: /, 'a pack that is shorter');

$node->archive_all;
my $done = (sort map { m{/([0-9A-F]{24})\.done$} } glob $node->data_dir . '/pg_wal/archive_status/*.done')[-1];
my @copied_here = (@copied, '--pgdata=' . $node->data_dir);
copy_is(sub { copy_lacks(qr{/wal/.*/$done$}) }, \@copied_here, 2, qr/^PITR CRITICAL - the server takes "$done" for archived, and it is not in the repository: its WAL goes elsewhere, or nowhere$/,
	'an archive_command that says it has archived, and has not');

# More than is kept of what was found, and that among it.
forge('run', int(time() * 1e6), 'repeat=70', 'program="some-#"', 'good=false', 'text="no\u001b[8m\u007f\nmore"');
copy_is(sub { copy_lacks(qr{/wal/.*/$done$}) }, \@copied_here, 2, qr/^PITR CRITICAL - the server takes "$done" for archived/, 'what is bad is told among much that is less so');
my $flood = (run_program([ 'pitr-check', @copied_here, '--format=prometheus' ]))[1];
like($flood, qr/check="runs"\} 1\n/, '… whose status is kept');
like($flood, qr/check="archive"\} 2\n/, '… as is its own');
unlike((run_program([ 'pitr-check', @copied_here ]))[1], qr/[\x00-\x09\x0b-\x1f\x7f]/, 'no text reaches a terminal that obeys it');
forget(qr{/fact/run/});
$flood = (run_program([ 'pitr-check', @base, '--cluster=a"b\\c', '--format=prometheus' ]))[1];
like($flood, qr/^pitr_check_status\{cluster="a\\"b\\\\c"\} /m, 'what is asked for is a label whatever it is');
is(promtool_says($flood), '0 ', '… promtool says');

# Backups that are of no use to production.
{
	local $branch = "$branch:other";
	forge('backup', $label, '00000020', 'finished_us=' . int((time() + 1800 * 60) * 1e6));
}
check_is(\@base, 2, qr/^PITR CRITICAL - the last base backup is 3[01] h \d+ min old/, 'the backup of a copy is not one of production', at => '+1810m');
copy_is(sub { copy_lacks(qr{/main/backup/.*/complete$}) }, 2, qr/^PITR CRITICAL - no base backup of the branch "main": the 1 that is there is of other branches, or of timelines that were left/, '… not when there is no other either');
forget(qr{-00000020/complete$});
forge_backup($label, '00000021', 'start_timeline=9', 'stop_timeline=9', 'finished_us=' . int((time() + 1800 * 60) * 1e6));
check_is(\@base, 2, qr/^PITR CRITICAL - the last base backup is 3[01] h \d+ min old/, '… nor is one of a timeline that leads nowhere', at => '+1810m');
forget(qr{-00000021/complete$});

# Damage that was found stands until it is found good.
my $verify_at = int(time() * 1e6);
my $verify_run = sub {
	my ($part, $parts, $problems) = @_;
	return forge('run', $verify_at++, 'program="pitr-verify"', $problems ? ('good=false', 'text="a/pack: it is damaged"') : 'good=true',
		"detail={\"part\":$part,\"parts\":$parts,\"problems\":$problems,\"contents_read\":true}");
};
$verify_run->(1, 7, 2);
$verify_run->(2, 7, 0);
check_is(\@base, 2, qr/^PITR CRITICAL - pitr-verify, on host "elsewhere" at .*, found 2 objects damaged or missing, and has not found them good since: a\/pack: it is damaged$/, 'damage in one part, and the next one is good');
$verify_run->(1, 7, 0);
check_is(\@base, 0, qr/^PITR OK/, '… until that part is');
$verify_run->(3, 7, 1);
$verify_run->(1, 1, 0);
check_is(\@base, 0, qr/^PITR OK/, '… or everything');
forget(qr{/fact/run/});

# A data directory that is not for everybody.
my $closed = directory('closed');
chmod 0, $closed;
(undef, $hints) = check_is([ @base, "--pgdata=$closed", '--backup-critical=1s' ], 2, qr/^PITR CRITICAL - the last base backup is .*; the server was not looked at: .*: Permission denied$/, 'a data directory that may not be read');
like($hints, qr/hint: Run it as the server's user/, '… and what to do');
chmod 0700, $closed;

# Many holes.
my @written = map { $node->query("SELECT pg_logical_emit_message(true, 'a', 'b')"); $node->switch_wal } 1 .. 24;
$node->archive_all;
copy_is(sub { copy_lacks(qr{/wal/.*/$written[ 2 * $_ ]$}) for 0 .. 11 }, 2, qr/^PITR CRITICAL - (?:the archive lacks "\w{24}"[^;]*;[^;]*; ){10}and 2 more such holes$/, 'many holes are counted');

# --- space -----------------------------------------------------------------------------------------------------------

my @here = (@base, '--pgdata=' . $node->data_dir);
check_is([ @here, '--free-warning=101' ], 1, qr/^PITR WARNING - the repository has .* free of .*; pg_wal has .* free of .*$/, 'little space');
check_is([ @here, '--free-warning=101', '--free-critical=101' ], 2, qr/^PITR CRITICAL - the repository has .*; pg_wal has/, 'less');

# --- archiving -------------------------------------------------------------------------------------------------------

$node->query("ALTER SYSTEM SET archive_command = 'false'");
$node->query('SELECT pg_reload_conf()');
$node->switch_wal;
ok(wait_until(sub { my @waiting = $node->waiting_wal; @waiting > 0 }), 'WAL waits');
($numbers) = check_is([ @here, '--lag-warning=1h', '--lag-critical=1h' ], 0, qr/^PITR OK.*; 1 WAL file waits to be archived, the oldest, "\w{24}", for \d+ s;/, 'a little while is nothing');
like($numbers, qr/'archive_lag'=\d+s;3600;3600 'archive_waiting'=1 /, '… in numbers');
check_is(\@here, 1, qr/^PITR WARNING - 1 WAL file waits to be archived, the oldest, "\w{24}", for (?:9|10) min$/, 'longer is a WARNING', at => '+10m');
check_is(\@here, 2, qr/^PITR CRITICAL - 1 WAL file waits to be archived, the oldest, "\w{24}", for (?:39|40) min$/, '… and CRITICAL', at => '+40m');

check_is([ @here, '--lag-warning=2h', '--lag-critical=2h', '--rpo=30 min' ], 2, qr/^PITR CRITICAL - the oldest WAL file that is not archived is (?:39|40) min old, and no more than 30 min is to be lost; archive_timeout is off/, '… and more than may be lost',
	at => '+40m');
like((run_check([ @here, '--format=text' ], '+10m'))[1], qr/^WARNING: .*\n\nWARNING   archive     1 WAL file waits [^\n]*\n {22}hint: Look at [^\n]*\nOK        repository  the /, 'the page for people begins with what is wrong');

rename $repo->path, $repo->path . '-away' or die;
mkdir $repo->path, 0700 or die;
$node->query("ALTER SYSTEM RESET archive_command");
$node->query('SELECT pg_reload_conf()');
my $failed = $node->data_dir . '/pitr.archive-failure';
ok(wait_until(sub { -e $failed }), 'pitr-archive fails');
check_is(\@here, 2, qr/^PITR CRITICAL - the repository directory .* is empty[^;]*; archiving fails, and \d WAL files? waits?, the oldest for \d+ \w+: .*is empty \(is it mounted\?\)$/,
	'a repository that is gone does not keep the rest from being asked');
check_is(\@here, 2, qr/; archiving fails, and \d WAL files? waits?, the oldest for (?:39|4\d) min: /, '… also after long', at => '+40m');
$node->query("ALTER SYSTEM SET archive_command = 'false'");
$node->restart;
rmdir $repo->path or die;
rename $repo->path . '-away', $repo->path or die;
(undef, $hints) = check_is(\@here, 1, qr/^PITR WARNING - archiving fails, and \d WAL files? waits?, the oldest for \d+ \w+: could not archive "\w{24}": .*is empty/,
	'archiving fails for a while, and it is said why');
like($hints, qr/hint: Mount it/, '… and what to do');
$node->query('ALTER SYSTEM RESET archive_command');
$node->query('SELECT pg_reload_conf()');
$node->archive_all;
check_is(\@here, 0, qr/^PITR OK.*no WAL waits to be archived/, 'when it goes on, that is over');
ok(-e $failed, '… although what was said is still there');

# --- what may be lost ------------------------------------------------------------------------------------------------

my $reload_with = sub {
	my ($name, $value) = @_;
	$node->query("ALTER SYSTEM SET $name = '$value'");
	return $node->query('SELECT pg_reload_conf()');
};
check_is([ @here, '--rpo=5 min' ], 1, qr/^PITR WARNING - archive_timeout is off: what is committed waits until its WAL segment is full, and no more than 5 min of it is to be lost$/, 'no archive_timeout');
$reload_with->(archive_timeout => '5min');
ok(wait_until(sub { $node->query('SHOW archive_timeout') eq '5min' }), 'one is set');
(undef, $hints) = check_is([ @here, '--rpo=5 min' ], 1, qr/^PITR WARNING - archive_timeout is 300 s, and no more than 5 min is to be lost$/, 'one that is too long');
like($hints, qr/hint: Set archive_timeout = '60s'/, '… and what would do');
$node->query('CREATE TABLE archived AS SELECT 1 AS a');
$node->archive_all;
$repo->write_config(rpo => '10 min');
($numbers) = check_is(\@here, 0, qr/; the last commit in the archive is of \d{4}-.* \(rpo: 10 min\);/, 'one that is not, declared in the file');
like($numbers, qr/ 'unarchived'=0s;600;600 /, '… and nothing would be lost');
$node->query('CREATE TABLE unarchived AS SELECT 1 AS a');
check_is(\@here, 2, qr/^PITR CRITICAL - the oldest commit that is not archived is (?:1[0-3]) min old, and no more than 10 min is to be lost/, 'a commit that would be lost', at => '+11m');
$node->archive_all;
check_is(\@here, 0, qr/; the last commit in the archive/, '… is archived', at => '+11m');
check_is(\@base, 0, qr/ \(rpo: 10 min; what the server has besides is not seen from here\)/, 'from elsewhere the last commit is seen');
$prometheus = run_ok([ 'pitr-check', @here, '--keep-within=1s', '--format=prometheus' ], 'in numbers for Prometheus');
is(promtool_says($prometheus), '0 ', '… which promtool accepts');
like($prometheus, qr/^pitr_window_start_timestamp_seconds\{cluster="main"\} \d{10}$(?s:.*)^pitr_unarchived_commit_age_seconds\{cluster="main"\} 0$(?s:.*)^pitr_last_archived_commit_timestamp_seconds\{cluster="main"\} \d{10}$/m, '… are the window, and what may be lost');
$repo->write_config(rpo => undef);

# --- what the server lacks -------------------------------------------------------------------------------------------

is(run_ok([ 'pitr-check', @here, '--setup' ], 'nothing is missing'), "-- Nothing is missing.\n", '… it says');
like((run_program([ 'pitr-check', @here, '--setup', '--rpo=90s' ]))[1], qr/^ALTER SYSTEM SET archive_timeout = '45s';\nSELECT pg_reload_conf\(\);\n\z/, 'an objective wants a shorter archive_timeout');
$node->query('CREATE ROLE "night watch" LOGIN');
my @watcher = ('pitr-check', @here, '--setup', '--username=night watch');
my $hba = read_file($node->data_dir . '/pg_hba.conf');
write_file($node->data_dir . '/pg_hba.conf', "local all all trust\nhost all all 127.0.0.1/32 trust\n");
$node->query('SELECT pg_reload_conf()');
my ($status, $setup) = run_program(\@watcher);
is($status, 1, 'a role that may nothing lacks something');
my $wanted = qr/^ALTER ROLE "night watch" REPLICATION;\nGRANT pg_read_all_settings TO "night watch"; --[^\n]*\nSELECT pg_reload_conf\(\);\n\n(# pg_hba.conf[^\n]*)\n((?:local|host)  replication  "night watch"  [^\n]*)\n\z/;
like($setup, $wanted, '… two rights and a line');
my ($comment, $line) = $setup =~ $wanted;
$node->query($setup =~ s/\n# .*//sr);
write_file($node->data_dir . '/pg_hba.conf', ($line =~ s/\S+$/trust/r) . "\n" . read_file($node->data_dir . '/pg_hba.conf'));
$node->query('SELECT pg_reload_conf()');
is(run_ok(\@watcher, 'pasted, nothing is missing'), "-- Nothing is missing.\n", '… it says');
write_file($node->data_dir . '/pg_hba.conf', $hba);
run_fails([ 'pitr-check', @here, '--setup', '--port=1' ], 3, qr/could not connect|connection/, 'a server that does not answer');

# --- settings --------------------------------------------------------------------------------------------------------

check_is([ @here, '--port=1' ], 3, qr/^PITR UNKNOWN - the server could not be asked for its settings: /, 'a server that does not answer');
my $restart_with = sub {
	my (%settings) = @_;
	$node->query("ALTER SYSTEM SET $_ = '$settings{$_}'") for sort keys %settings;
	$node->restart;
	return;
};
$restart_with->(archive_command => '');
check_is(\@here, 2, qr/^PITR CRITICAL - archive_mode is on, but there is neither an archive_command nor an archive_library: WAL piles up in pg_wal$/, 'no archive_command');
$restart_with->(archive_mode => 'off');
check_is(\@here, 2, qr/^PITR CRITICAL - archive_mode is off: no WAL is archived$/, 'archive_mode is off');
$restart_with->(wal_level => 'minimal', max_wal_senders => 0);
check_is(\@here, 2, qr/^PITR CRITICAL - wal_level is minimal: the server's WAL is of no use to a restore; archive_mode is off: no WAL is archived$/, 'wal_level is minimal');
$node->stop;
check_is(\@here, 1, qr/^PITR WARNING - no server runs in ".*"$/, 'the server is down');

# --- gaps ------------------------------------------------------------------------------------------------------------

my @segments = sort map { m{/([0-9A-F]{24})$} } $repo->objects(qr{/wal/.*/[0-9A-F]{24}$});
my $gone = $segments[-2];
damage($repo->path . '/' . ($repo->objects(qr{/$gone$}))[0], 'remove');
($numbers) = check_is(\@base, 2, qr/^PITR CRITICAL - the archive lacks "$gone": nothing behind it can be restored/, 'a gap');
like($numbers, qr/'wal_gaps'=1/, '… is counted');
$prometheus = (run_program([ 'pitr-check', @base, '--format=prometheus' ]))[1];
is(promtool_says($prometheus), '0 ', 'promtool accepts that too');
like($prometheus, qr/^pitr_check_question_status\{cluster="main",check="wal"\} 2$/m, '… with the question that it is about');
check_is([ @base, '--keep-within=30 days' ], 2, qr/; of the last 30 days, which keep-within declares, nothing behind "$gone" can be restored$/, '… and breaks the window that was declared');
($gone) = map { sprintf '%08X%08X%08X', 1, 0, hex(substr $second, 17, 8) / (1 << 20) - 1 } 1;
damage($repo->path . '/' . ($repo->objects(qr{/$gone$}))[0], 'remove');
(undef, $hints) = check_is([ @base, '--keep-within=30 days' ], 2, qr/; of the last 30 days,/, 'another one');
forge_backup($second, '00000006', sprintf('start_lsn="0/%X"', hex($segments[-1] =~ s/.*(.{8})$/$1/r) << 20), 'finished_us=' . int((time() - 1) * 1e6));
check_is([ @base, '--keep-within=30 days' ], 1, qr/ not every moment of the last 30 days, which keep-within declares, can be restored, but only from \d{4}-.* on: WAL is missing from "\w{24}" on/, 'with a backup behind them, it is said from when on all can be restored');

# --- what a server lacks that archives nothing ------------------------------------------------------------------------

$node->start;
($status, $setup) = run_program([ 'pitr-check', @here, '--setup' ]);
is($status, 1, 'such a server lacks much');
like($setup, qr/^ALTER SYSTEM SET max_wal_senders = '10';\nALTER SYSTEM SET wal_level = 'replica';\nALTER SYSTEM SET archive_mode = 'on';\nALTER SYSTEM SET archive_command = 'pitr-archive .*--repo=\S+ .*%p';\n-- Then restart the server\.\n\z/, '… each setting');
for (split /\n/, $setup) { $node->query($_) if /^ALTER/ }
$node->restart;
is(run_ok([ 'pitr-check', @here, '--setup' ], 'pasted, nothing is missing'), "-- Nothing is missing.\n", '… it says');
ok($node->archive_all, '… and it archives');
done_testing();
