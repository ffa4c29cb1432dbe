# pitr-restore itself: what it plans and says, what it refuses before a byte is written, what an interruption leaves
# behind, and the settings it writes. (310 holds the targets against an oracle, 320 damages the archive.)
# sanitizer: yes
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use Digest::SHA ();
use File::Find  ();
use File::Path  ();
use Pitr;

my $version = newest_version();
my $repo    = repo('main');
# What a copy must not obey: postgresql.conf comes along in the backup.
my $node    = cluster('source', version => $version, repo => $repo, initdb => ['--wal-segsize=1'], conf => <<"CONF");
hot_standby = on
recovery_end_command = 'touch $Pitr::TEST_DIRECTORY/recovery_end'
archive_cleanup_command = 'touch $Pitr::TEST_DIRECTORY/archive_cleanup'
recovery_min_apply_delay = '1h'
recovery_target_time = '2001-01-01 00:00:00+00'
primary_conninfo = 'host=/nowhere'
primary_slot_name = 'nowhere'
CONF
# Its owner may not write everywhere in a data directory, and the modes are kept.
my $locked = $node->data_dir . '/locked';
mkdir $locked, 0700;
write_file("$locked/server.key", 'secret');
chmod 0400, "$locked/server.key";
chmod 0500, $locked;
my @spaces = map { directory("spaces/$_") } 'one', 'two =%f';
my @quoted = map { s/'/''/gr } @spaces;
$node->query("CREATE TABLESPACE one LOCATION '$quoted[0]'");
$node->query("CREATE TABLESPACE two LOCATION '$quoted[1]'");
$node->query('CREATE TABLE in_one TABLESPACE one AS SELECT g AS id FROM generate_series(1, 1000) g');
$node->query('CREATE TABLE in_two TABLESPACE two AS SELECT g AS id FROM generate_series(1, 500) g');
$node->query('CREATE TABLE t (step int, at timestamptz DEFAULT clock_timestamp())');
# What a source may have been told once, and a copy of it must not obey.
$node->query("ALTER SYSTEM SET primary_conninfo = 'host=nowhere'");
$node->query("ALTER SYSTEM SET recovery_target_name = 'stale'");
$node->query("ALTER SYSTEM SET recovery_min_apply_delay = '1h'");
$node->query("ALTER SYSTEM SET work_mem = '5MB'");

my $before_all = $node->query('SELECT now()');
sub step { my ($n) = @_; return $node->query("INSERT INTO t VALUES ($n) RETURNING at"); }
sub backup {
	my ($title, @more) = @_;
	run_ok([ 'pitr-basebackup', $repo->options, $node->connection, '--checkpoint=fast', @more ], $title);
	my $backups = run_json([ 'pitr-catalog', $repo->options, '--json', 'list' ], '… and listed')->{backups};
	return (sort { $a->{start_lsn} cmp $b->{start_lsn} } @$backups)[-1];
}

my $etc = directory('etc');
write_file("$etc/server.conf", "x = 1\n");
symlink 'server.conf', "$etc/link";
write_file("$etc/server.key", 'secret');
chmod 0440, "$etc/server.key";
step(0);
my $first = backup('a first backup', "--include=$etc");
step($_), $node->switch_wal for 1 .. 3;
my $point_lsn = $node->query("SELECT pg_create_restore_point('the point')");
$node->query("SELECT pg_create_restore_point('twice')");
my $xid = $node->query('INSERT INTO t VALUES (4) RETURNING xmin');
$node->query("SELECT pg_create_restore_point('twice')");
my $time_4 = $node->query('SELECT clock_timestamp()');
Time::HiRes::sleep(0.05);
step(5);
$node->archive_all;
my $second = backup('a second backup', "--include=$etc");
my $time_second = $node->query('SELECT clock_timestamp()');
Time::HiRes::sleep(0.05);
step(6);
$node->archive_all;
step(7);
my $end_lsn = $node->query('SELECT pg_current_wal_lsn()');
$node->archive_all;
my $time_end = $node->query('SELECT clock_timestamp()');

my @options  = $repo->options;
my $copies   = 0;
my @sources  = map { s/=/\\=/gr } @spaces; # as -T takes them
my @mappings = map { my $place = $_; sub { ('-T', "$sources[$place]=$_[0]/" . ($spaces[$place] =~ s/.*\///r)) } } 0, 1;
sub mapped { my ($name) = @_; return map { $_->("$Pitr::TEST_DIRECTORY/$name") } @mappings }
sub plan_of { my ($title, @target) = @_; return run_json([ 'pitr-restore', @options, '--dry-run', '--json', @target ], $title) }
sub mode_of { my ($path) = @_; return sprintf '%04o', (lstat $path)[2] & 07777 }
sub steps { my ($copy) = @_; return $copy->query('SELECT string_agg(step::text, \' \' ORDER BY step) FROM t') }
sub copy {
	my ($target, %more) = @_;
	my $name = 'copy' . ++$copies;
	directory($name);
	return restore($name, source => $node, repo => $repo, target => $target, options => [ mapped($name), @{ $more{more} // [] } ], %more);
}

# --- plans -------------------------------------------------------------------------------------------------------------

my $plan = plan_of('a plan for the latest', ());
is($plan->{label}, $second->{label}, 'the latest begins with the newest backup');
is($plan->{timeline}, 1, '… on the only timeline');
ok($plan->{at_end_of_archive} && $plan->{last_commit}{xid} > $xid, '… and says which commit is the last');
like($plan->{wal_first}, qr/^00000001[0-9A-F]{16}$/, '… where WAL begins');
cmp_ok($plan->{fetch_bytes}, '>', $plan->{wal_bytes}, '… and how much is fetched');

$plan = plan_of('a plan for a time between the backups', "--target-time=$time_4");
is($plan->{label}, $first->{label}, 'a time between the backups begins with the older one');
is($plan->{last_commit}{xid}, $xid, '… and the last commit before it is named');
$plan = plan_of('a plan for a time behind the last commit', "--target-time=$time_end");
ok($plan->{at_end_of_archive}, 'a time behind the last commit takes the whole archive');
$plan = plan_of('a plan for a transaction', "--target-xid=$xid");
is($plan->{label}, $first->{label}, 'a transaction before the newest backup begins with the one before');
$plan = plan_of('a plan for the end of the first backup', '--target-immediate', "--backup=$first->{label}");
is($plan->{label}, $first->{label}, '--backup is obeyed');

my $text = run_ok([ 'pitr-restore', @options, '--dry-run', "--target-time=$time_4" ], 'a plan as text',
	env => { TZ => 'America/New_York' });
like($text, qr/^target: +time \S+ \S+-0[45] \(\S+ \S+\+00\)$/m, 'the time that was understood is printed back, local and UTC');
ok(!-e "$Pitr::TEST_DIRECTORY/never", 'a dry run writes nothing');

# --- what newcomers meet: arguments → status → sentence → hint -----------------------------------------------------------

my $full = directory('full');
write_file("$full/precious", 'data');
my $never = "$Pitr::TEST_DIRECTORY/never";
my @into  = ('-D', $never, mapped('never-spaces'));
my $linked  = directory('linked');
my $link    = "$Pitr::TEST_DIRECTORY/link";
symlink $linked, $link;
symlink 'none', "$linked/nowhere";
my @refused = (
	[ 'before the first backup', [ "--target-time=$before_all", @into ],
		qr/before the end of the first backup: the earliest that can be reached on timeline 1 is 20/ ],
	[ 'in the future', [ '--target-time=2199-01-01', @into ], qr/is in the future: it is 20/ ],
	[ 'no time at all', [ '--target-time=soon', @into ], qr/--target-time: .*soon/ ],
	[ 'an LSN behind the archive', [ '--target-lsn=FF/0', @into ], qr/behind the archive, which ends at 0\/\S+ on timeline 1\n.*hint: Give --target-lsn=0\/\S+, the last record in it/ ],
	[ 'an LSN before the first backup', [ '--target-lsn=0/100000', @into ], qr/before the end of the first backup/ ],
	[ 'no LSN', [ '--target-lsn=12', @into ], qr/"12" is not an LSN/ ],
	[ 'an unknown transaction', [ '--target-xid=4000000000', @into ], qr/transaction 4000000000 is not in the archive/ ],
	[ 'an unknown restore point', [ '--target-name=nowhere', @into ], qr/restore point "nowhere" is not in the archive/ ],
	[ 'a restore point made twice', [ '--target-name=twice', @into ], qr/2 restore points "twice".*\n.*hint: Choose one with --target-lsn=/ ],
	[ 'an unknown timeline', [ '--target-timeline=9', @into ], qr/timeline 9 is not in the archive\n.*hint: It has timeline 1\./ ],
	[ 'two targets', [ '--target-xid=5', '--target-immediate', @into ], qr/more than one target/ ],
	[ 'a standby with a target', [ '--standby', '--target-immediate', @into ], qr/takes no target/ ],
	[ 'a name, exclusive', [ '--target-name=x', '--target-exclusive', @into ], qr/--target-exclusive goes with/ ],
	[ 'an unknown backup', [ '--backup=nope', @into ], qr/there is no backup "nope"/ ],
	[ 'a backup that ends behind the target', [ "--backup=$second->{label}", "--target-time=$time_4", @into ],
		qr/before the end of the chosen backup/ ],
	[ 'no directory', [], qr/no data directory.*\n.*hint: Give -D/ ],
	[ 'a directory that is not empty', [ '-D', $full, mapped('never-spaces') ], qr/"\Q$full\E" is not empty/ ],
	[ 'a running server', [ '-D', $node->data_dir, mapped('never-spaces') ], qr/a server is running in .* \(process \d+\)/ ],
	[ 'tablespaces in use', [ '-D', $never ], qr/in use: "\Q$spaces[0]\E", "\Q$spaces[1]\E"\n.*hint: .*-T/ ],
	[ 'one tablespace in use', [ '-D', $never, ($mappings[0]->("$Pitr::TEST_DIRECTORY/x")) ], qr/in use: "\Q$spaces[1]\E"/ ],
	[ 'a tablespace inside of the data directory', [ '-D', $never, '-T', "$spaces[0]=$never/in" ], qr/inside of the data directory/ ],
	[ 'two tablespaces in one', [ '-D', $never, map { ('-T', "$_=$Pitr::TEST_DIRECTORY/same") } @sources ], qr/two tablespaces would share/ ],
	[ 'one that a link leads into it', [ '-D', "$linked/data", '-T', "$sources[0]=$link/data/in" ], qr/inside of the data directory/ ],
	[ 'a data directory that a link leads into a tablespace', [ '-D', "$link/up/data", '-T', "$sources[0]=$linked/up" ],
		qr/data directory is inside of the tablespace directory/ ],
	[ 'a link to nowhere', [ '-D', $never, '-T', "$sources[0]=$link/nowhere/x" ], qr/the link ".*nowhere" leads to what is not there/ ],
	[ 'a directory above one that is not there', [ '-D', $never, '-T', "$sources[0]=$linked/none/../x" ], qr/above "\.\."/ ],
	[ 'included files where files are', [ '--included-to', $full, @into ], qr/--included-to: the directory "\Q$full\E" is not empty/ ],
	[ 'included files in the data directory', [ '--included-to', "$never/etc", @into ], qr/--included-to: .* would share files/ ],
	[ 'a tablespace that is none', [ '-D', $never, '-T', "/nowhere=$never" ], qr/no tablespace in "\/nowhere"/ ],
	[ 'a parent that is not there', [ '-D', "$never/data", mapped('never-spaces') ], qr/"\Q$never\E" does not exist/ ],
	[ 'a file', [ '-D', "$full/precious", mapped('never-spaces') ], qr/is not a directory/ ],
	[ 'an argument', [ 'now', @into ], qr/now/ ],
);
for my $case (@refused) {
	my ($title, $arguments, $pattern) = @$case;
	my $stderr = run_fails([ 'pitr-restore', @options, @$arguments ], 2, $pattern, "$title: refused", env => { PGDATA => undef });
	is(() = $stderr =~ /error:/g, 1, '… with one error');
}
ok(!-e $never && !-e "$Pitr::TEST_DIRECTORY/never-spaces", 'none of them wrote anything');
my $sealed = directory('sealed');
chmod 0500, $sealed;
run_fails([ 'pitr-restore', @options, '--included-to', "$sealed/etc", @into ], 1,
	qr/could not create the directory "\Q$sealed\E\/etc": Permission denied/, 'a directory that cannot be made is named');
ok(!-e $never && !-e "$Pitr::TEST_DIRECTORY/never-spaces", '… and what was made before is taken back');
is(read_file("$full/precious"), 'data', '… or changed anything');

# --- what is restored ------------------------------------------------------------------------------------------------

my $copy = copy([ "--target-time=$time_4" ]);
is(steps($copy), '0 1 2 3 4', 'a time: what was committed by then is there');
is($copy->query('SELECT pg_is_in_recovery()'), 't', '… and the server pauses there');
is($copy->query('SELECT (SELECT count(*) FROM in_one), (SELECT count(*) FROM in_two)'), '1000|500', '… with its tablespaces');
is($copy->query('SHOW archive_mode'), 'on', '… and will go on archiving');
like($copy->query('SHOW pitr.branch'), qr/^restore-\w{8}$/, '… to a branch of its own');
is($copy->query('SHOW work_mem'), '5MB', '… settings of ALTER SYSTEM are kept');
is(join('', map { $copy->query("SHOW $_") } qw(primary_conninfo primary_slot_name recovery_target_name recovery_target_time
	recovery_end_command archive_cleanup_command recovery_min_apply_delay)), '0', '… but none of another recovery, wherever they are set');
is(mode_of($copy->data_dir . '/locked') . ' ' . mode_of($copy->data_dir . '/locked/server.key'), '0500 0400',
	'… and what its owner cannot write is there with its mode');
like($copy->restore_output, qr/^target: +time .*\+00\)$/m, 'the restore said what it understood');
like($copy->restore_output, qr/pg_ctl -D .* start.*pg_wal_replay_resume\(\).*branch of its own/s, '… and what to do next');
my $settings = read_file($copy->data_dir . '/postgresql.auto.conf');
like($settings, qr/^recovery_target_timeline = '1'$/m, 'the timeline is a number');
like($settings, qr{^recovery_target_lsn = '[0-9A-F]+/[0-9A-F]+'$}m, 'the time has become the position of the last commit before it');
ok(!-e $copy->data_dir . '/pitr_restore_in_progress', 'no marker is left');
ok(-e $copy->data_dir . '/backup_manifest', 'the manifest of PostgreSQL is left for pg_verifybackup');
my $replayed = $copy->query('SELECT pg_wal_replay_resume()');
ok(wait_until(sub { $copy->query('SELECT pg_is_in_recovery()') eq 'f' }), 'told to go on, it becomes an ordinary server');
is(steps($copy), '0 1 2 3 4', '… with nothing behind the target');
run_fails([ 'pitr-restore', @options, '-D', $copy->data_dir, mapped('never-spaces') ], 2, qr/a server is running/,
	'a restore onto it is refused');
$copy->stop;
my @restored = map { readlink } glob $copy->data_dir . '/pg_tblspc/*';
is_deeply([ sort @restored ], [ sort map { "$Pitr::TEST_DIRECTORY/copy1/" . s/.*\///r } @spaces ], 'links lead to the new places');

$copy = copy([], more => [ '--included-to', "$Pitr::TEST_DIRECTORY/included" ]);
is(steps($copy), '0 1 2 3 4 5 6 7', 'the latest has everything');
is($copy->query('SELECT pg_is_in_recovery()'), 'f', '… and is promoted');
is(read_file("$Pitr::TEST_DIRECTORY/included$etc/server.conf"), "x = 1\n", '… and what --include added, where it was asked for');
is(readlink "$Pitr::TEST_DIRECTORY/included$etc/link", 'server.conf', '… links as links');
is(mode_of("$Pitr::TEST_DIRECTORY/included$etc/server.key"), '0440', '… with their modes');
ok(!-e "$Pitr::TEST_DIRECTORY/recovery_end" && !-e "$Pitr::TEST_DIRECTORY/archive_cleanup",
	'… without the commands that the source was told for its recovery');
like(read_file($copy->data_dir . '/postgresql.auto.conf'), qr/^recovery_target_lsn = '0/m, '… by way of a target that must be reached');
$copy->stop;

for my $case ([ 'a transaction', [ "--target-xid=$xid" ], '0 1 2 3 4' ],
	[ 'a transaction, excluded', [ "--target-xid=$xid", '--target-exclusive' ], '0 1 2 3' ],
	[ 'a restore point', [ '--target-name=the point' ], '0 1 2 3' ],
	[ 'the end of the first backup', [ '--target-immediate', "--backup=$first->{label}" ], '0' ],
	[ 'a time with everything before it', [ "--target-time=$time_end" ], '0 1 2 3 4 5 6 7' ],
	[ 'the place where the WAL was', [ "--target-lsn=$end_lsn", '--target-action=promote' ], '0 1 2 3 4 5 6 7' ]) {
	my ($title, $target, $expected) = @$case;
	$copy = copy($target) or next;
	is(steps($copy), $expected, "$title: the rows are right");
	$copy->stop;
}

$copy = copy(['--standby'], start => 0);
ok(-e $copy->data_dir . '/standby.signal' && !-e $copy->data_dir . '/recovery.signal', 'a standby has its own signal file');
unlike(read_file($copy->data_dir . '/postgresql.auto.conf'), qr/^recovery_target(?!_timeline)\w* = '[^']/m, '… and no target');
$copy->start;
is($copy->query('SHOW primary_conninfo') . ' ' . $copy->query('SHOW recovery_min_apply_delay'), 'host=/nowhere 0',
	'… streams from whom postgresql.conf says, without a delay');
step(8);
$node->archive_all;
ok(wait_until(sub { steps($copy) eq '0 1 2 3 4 5 6 7 8' }), '… and follows the archive');
$copy->stop;

# --- nothing that is incomplete or without its label can be started ------------------------------------------------------

$copy = copy(["--target-name=the point"], start => 0);
unlink $copy->data_dir . '/backup_label' or die;
ok(!$copy->start(fail_ok => 1), 'without backup_label the server does not start');
like(read_file($copy->logfile), qr/could not locate a valid checkpoint record/, '… since pg_control names no checkpoint');

# Every file below a directory with its content, links as such.
sub contents_of {
	my (@directories) = @_;
	my %contents;
	for my $base (@directories) {
		File::Find::find({ no_chdir => 1, wanted => sub {
			my $name = substr $_, length $base;
			return if $name =~ m{^/pitr\.catalog};    # says when it was written
			$contents{"$name mode"} = mode_of($_);
			$contents{$name} = -l $_ ? readlink : -d _ ? 'directory' : Digest::SHA->new(256)->addfile($_)->hexdigest;
			# Each restore has a branch of its own.
			$contents{$name} = read_file($_) =~ s/restore-[0-9a-f]{8}|"created_us":\d+//gr
			  if /\/(?:pitr\.branch|postgresql\.auto\.conf)$/;
		} }, $base);
	}
	return \%contents;
}

my $target   = "$Pitr::TEST_DIRECTORY/interrupted";
my @again    = ('pitr-restore', @options, '-D', "$target/data", '-T', "$sources[0]=$target/one", '-T', "$sources[1]=$target/two",
	'--included-to', "$target/etc", '--target-name=the point', '-j1');
my @restored_to = map { "$target/$_" } qw(data one two etc);
my $afresh   = sub { File::Path::remove_tree($target); mkdir $target, 0700 };
$afresh->();
run_ok([@again], 'a restore that is not interrupted');
my $reference = contents_of(@restored_to);
run_ok([ $node->bin . '/pg_verifybackup', '-n', '-i', 'global/pg_control', '-i', 'tablespace_map', '-i', 'pitr.branch',
	'-i', 'pitr.restore', '-i', 'pitr.catalog', "$target/data" ],
	'… holds what PostgreSQL says it should');
my ($unstartable, $complete) = (0, 0);
kill_at_every_syscall('killed anywhere, a restore leaves what cannot be started, and can be resumed',
	command => [@again],
	before  => $afresh,
	every   => is_full_run() ? 97 : 2699,
	may_survive => 0.4,    # which thread does what is left to chance
	after   => sub {
		my ($was_killed) = @_;
		my $data = "$target/data";
		return 'it is startable before it is complete'
		  if -e "$data/global/pg_control" && !eq_hash(without_marker(contents_of(@restored_to)), $reference);
		my $is_complete = -e "$data/global/pg_control" && !-e "$data/pitr_restore_in_progress";
		$is_complete ? $complete++ : $unstartable++;
		return if $is_complete;
		my ($status, undef, $stderr) = run_program([@again]);
		return "resuming it ended with $status: $stderr" if $status != 0;
		return eq_hash(contents_of(@restored_to), $reference) ? undef : 'resumed, it differs';
	});
note("$unstartable interrupted, $complete complete");

sub without_marker { my ($contents) = @_; delete @$contents{'/pitr_restore_in_progress', '/pitr_restore_in_progress mode'}; return $contents }

# The last steps, each found by its system call: pg_control gets its name, then the marker goes.
my @traced = ("$Pitr::BIN/$again[0]", @again[ 1 .. $#again ]);
my %last_steps = (rename => qr/pg_control/, unlink => qr/pitr_restore_in_progress/);
sub killed_at {
	my ($call) = @_;
	my $trace = "$Pitr::TEST_DIRECTORY/trace";
	$afresh->();
	run_program([ 'strace', '-f', '-qq', '-o', $trace, '-e', "trace=$call", @traced ]);
	my @calls = grep { /\b$call\(/ } split /\n/, read_file($trace);
	my ($pid) = map { /^(\d+)/ } grep { $_ =~ $last_steps{$call} } @calls;
	@calls = grep { /^$pid / } @calls; # strace counts for each thread
	my ($last) = grep { $calls[$_] =~ $last_steps{$call} } reverse 0 .. $#calls;
	splice @calls, $last + 1;          # behind it comes what is no part of the restored server: pitr.catalog
	ok(@calls > 0, "there is a $call in the last step");
	$afresh->();
	return run_program([ 'strace', '-f', '-qq', '-o', '/dev/null', '-e', "trace=$call", '-e', "inject=$call:signal=KILL:when=" . @calls, @traced ]);
}
killed_at('rename');
ok(!-e "$target/data/global/pg_control" && -e "$target/data/pitr_restore_in_progress", 'killed there, it cannot be started');
run_fails([ grep({ !/^--target/ } @again), '--target-immediate' ], 2, qr/interrupted restore of the backup "\Q$first->{label}\E"/,
	'… a restore of another backup is refused');
run_ok([@again], '… and the same one completes it');
is_deeply(contents_of(@restored_to), $reference, '… to the same directory');
$afresh->();
my $sync_trace = "$Pitr::TEST_DIRECTORY/syncs";
run_ok([ 'strace', '-f', '-y', '-qq', '-o', $sync_trace, '-e', 'trace=fstatfs,fsync,rename', '-e', 'inject=fstatfs:error=ENOSYS', @traced ],
	'a restore, watched, that has to sync file by file');
my ($synced) = read_file($sync_trace) =~ m{^(.*)rename\([^\n]*pg_control}ms;
like($synced, qr{fsync\(\d+<\Q$target/$_\E>}, "\"$_\" is synced before it is complete")
  for "etc$etc/server.conf", 'etc', 'data', 'data/base', 'one', 'two';
killed_at('unlink');
ok(-e "$target/data/global/pg_control" && -e "$target/data/pitr_restore_in_progress", 'killed there, all is there but for the marker');
run_fails([ @again, '--target-action=promote' ], 2, qr/complete restore to another target/, '… another target is refused');
run_ok([@again], '… and the same command completes it');
is_deeply(contents_of(@restored_to), $reference, '… to the same directory');

# --- a hole in the archive ----------------------------------------------------------------------------------------------

my @segments = grep { m{/[0-9A-F]{24}$} } $repo->objects(qr{/wal/});
my ($hole)   = grep { $_ gt ($segments[0] =~ s/[^\/]*$/$plan->{wal_last}/r) } @segments;
my $name     = $hole =~ s/.*\///r;
rename $repo->path . "/$hole", "$Pitr::TEST_DIRECTORY/hole" or die;
run_fails([ 'pitr-restore', @options, '--dry-run', "--backup=$first->{label}" ], 2,
	qr/the latest cannot be reached: the WAL segment "$name" is missing.*\n.*hint: Before it, --target-lsn=\S+ is the latest/,
	'a hole: the latest from a backup before it is refused');
run_fails([ 'pitr-restore', @options, '--dry-run', "--target-time=$time_4" ], 2,
	qr/"$name" is missing.*\n.*hint: Before it, --target-lsn=\S+ is the latest.* Behind it, 20.* can be reached/,
	'… a time behind it too, with what can be reached on both sides');
run_ok([ 'pitr-restore', @options, '--dry-run' ], '… the newest backup is not concerned');
write_file($repo->path . "/$hole", 'not a sealed object at all');
run_fails([ 'pitr-restore', @options, '--dry-run', "--target-time=$time_4" ], 1,
	qr/the target time cannot be reached: .*$name.*\n.*hint: Before it, --target-lsn=/, 'a damaged segment is like a missing one');
run_ok([ 'pitr-restore', @options, '--dry-run', '--target-immediate', "--backup=$first->{label}" ],
	'… and does not matter to what lies before it');
unlink $repo->path . "/$hole";
rename "$Pitr::TEST_DIRECTORY/hole", $repo->path . "/$hole" or die;

# --- the environment the server will have ---------------------------------------------------------------------------------

my $bin = directory('bin');
symlink "$Pitr::BIN/pitr-restore", "$bin/pitr-restore";
File::Path::remove_tree("$never-bin");
system 'cp', "$Pitr::BIN/pitr-restore", "$bin/alone";
run_fails([ "$bin/alone", @options, @into ], 1, qr/could not find ".*bin\/pitr-fetch"/, 'without pitr-fetch beside it nothing is begun');
symlink "$Pitr::BIN/pitr-archive", "$bin/pitr-archive";
write_file("$bin/pitr-fetch", "#!/bin/sh\nexit 3\n");
chmod 0755, "$bin/pitr-fetch";
run_fails([ "$bin/alone", @options, @into ], 2, qr/restore_command for the server does not work: it ended with exit status 3/,
	'a restore_command that does not work is found out first');
ok(!-e $never, '… and leaves nothing behind');
run_fails([ "$bin/alone", @options, '--included-to', "$never-included/deep", @into ], 2, qr/restore_command for the server does not work/,
	'… with included files too');
ok(!-e $never && !-e "$never-included" && !-e "$Pitr::TEST_DIRECTORY/never-spaces", '… nor the other directories');
write_file("$bin/pitr-fetch", <<"END");
#!/bin/sh
[ "\$AWS_SECRET_ACCESS_KEY" = x ] && [ "\$PITR_LOG_LEVEL" = info ] || exit 3
exec '$Pitr::BIN/pitr-fetch' "\$@"
END
run_fails([ "$bin/alone", @options, @into ], 2, qr/it ended with exit status 3/, 'without the variables it needs it fails');
my (undef, $warned) = run_ok([ "$bin/alone", @options, '-D', "$Pitr::TEST_DIRECTORY/environment", mapped('environment-spaces') ],
	'… with them in the environment of pitr-restore alone it does not',
	env => { AWS_SECRET_ACCESS_KEY => 'x', PITR_LOG_LEVEL => 'info' });
like($warned, qr/warning: .*works only with variables of this environment.*: (?=.*AWS_SECRET_ACCESS_KEY).*PITR_LOG_LEVEL.*\n.*hint: .*credentials/,
	'… but the server will not have them, and which is said');
run_ok([ 'pitr-restore', @options, '-D', "$Pitr::TEST_DIRECTORY/environment2", mapped('environment2-spaces'), '--log-level=warning' ],
	'a server that needs none', env => { AWS_SECRET_ACCESS_KEY => 'x' });

my $secret = repo('secret', key => 1);
my $kept   = cluster('secret', version => $version, repo => $secret, initdb => ['--wal-segsize=1']);
run_ok([ 'pitr-basebackup', $secret->options, $kept->connection, '--checkpoint=fast' ], 'an encrypted backup');
$kept->stop;
my $secret_key = $secret->key;
$secret->write_config('key-file' => "$secret_key.host");
run_ok([ 'pitr-restore', $secret->options, '--dry-run' ], 'a host key is enough to plan');
run_fails([ 'pitr-restore', $secret->options, @into[ 0, 1 ] ], 1, qr/is a host key: it cannot read WAL and packs\n.*hint: Set key-file/,
	'… but not to restore');
ok(!-e $never, '… which is said before anything is written');

# --- timelines ------------------------------------------------------------------------------------------------------------

$copy = copy([ '--target-name=the point', '--target-action=promote' ], start => 0);
unlink $copy->data_dir . '/pitr.branch' or die "could not remove the mark: $!\n";    # as a failover would go on
$copy->begin;
$copy->query('INSERT INTO t VALUES (100)');
my $time_branch = $copy->query('SELECT clock_timestamp()');
Time::HiRes::sleep(0.05);
$copy->query('INSERT INTO t VALUES (101)');
$copy->archive_all;
$copy->stop;
run_fails([ 'pitr-restore', @options, '--dry-run', "--backup=$first->{label}" ], 2,
	qr/on two timelines: timeline 1 \(.*\) and timeline 2 \(.*\)\n.*hint: Choose with --target-timeline=1 or --target-timeline=2/,
	'two ends of history: both are named');
is(plan_of('one of them, chosen', '--target-timeline=2', "--target-time=$time_branch")->{last_commit}{timeline}, 2, '… and one is taken');
is(plan_of('what both share', '--target-name=the point')->{timeline}, 1, 'a point before the branch is the same on both');
my $branch = copy([ '--target-timeline=2', "--target-time=$time_branch" ]);
is(steps($branch), '0 1 2 3 100', 'a restore along the branch has its rows, and none of the other');
$branch->stop;

$node->stop;
done_testing();
