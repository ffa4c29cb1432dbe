# archive_library = 'pitr_archive': what it says is archived is in the repository, whatever happens to its worker, to the
# repository or to the server meanwhile; and nothing that happens to them restarts the server or keeps it from stopping.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use Pitr;
use Socket;
use Time::HiRes qw(sleep time);

my $fill_wal = "SELECT pg_logical_emit_message(false, 'fill', repeat('x', 950000)) FROM generate_series(1, %d)";
my ($node, $repo, $log_at);

# --- words ------------------------------------------------------------------------------------------------------------------
sub module_directory { my ($version) = @_; return "$Pitr::BIN/../extension/$version/pitr_archive" }

sub settings {
	my (%settings) = @_;
	$node->append_conf('postgresql.conf', join '', map { "$_ = '$settings{$_}'\n" } sort keys %settings);
	$node->reload unless $node->is_gone;
	return;
}

# A server that archives through the module, not yet started.
sub server {
	my ($name, $version, %settings) = @_;
	$repo = repo($name, settings => { 'log-level' => 'debug', 'retry-for' => '1s' });
	$node = cluster($name, version => $version, initdb => ['--wal-segsize=1'], start => 0);
	$repo->init($node);
	settings(
		archive_mode => 'on',
		archive_library => 'pitr_archive',
		dynamic_library_path => module_directory($version) . ':$libdir',
		'pitr_archive.config_file' => $repo->config,
		'pitr_archive.program' => "$Pitr::BIN/../libexec/pitr/pitr-archiver",
		'pitr_archive.shutdown_timeout' => '4s',
		log_checkpoints => 'off',
		max_wal_size => '4GB',
		wal_keep_size => '2GB',
		%settings);
	$log_at = 0;
	return;
}

sub fill { my ($count) = @_; $node->query(sprintf $fill_wal, $count); return }

# What the log says since the last look.
sub said {
	my $log = substr(read_file($node->logfile), $log_at);
	$log_at += length $log;
	return $log;
}

sub says {
	my ($pattern, $title) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $begin = $log_at;
	my $found = wait_until(sub { $log_at = $begin; said() =~ $pattern });
	return ok($found, $title) || diag($node->log_tail);
}

# The worker of this server.
sub worker {
	my @found = grep {
		(readlink("/proc/$_/exe") // '') =~ m{/pitr-archiver$} && (readlink("/proc/$_/cwd") // '') eq $node->data_dir
	} map { m{(\d+)$} } glob '/proc/[0-9]*';
	die "several workers: @found\n" if @found > 1;
	return $found[0];
}

sub counts { return split /\|/, $node->query('SELECT archived_count, failed_count FROM pg_stat_archiver') }

# Everything that waits now is archived; the archiver, which may be pausing for a minute, is woken by a new segment.
sub is_archived {
	my ($title) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $last = $node->switch_wal;
	my $done = wait_until(sub { !grep { $_ le "$last.ready" } $node->waiting_wal });
	return ok($done, $title) || diag($node->log_tail);
}

# No .done without its object. Some are fetched and compared, the last among them.
sub is_whole {
	my ($title) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my %stored = map { m{([^/]+)$} ? ($1 => 1) : () } $repo->objects(qr{/wal/|history|backup});
	my $wal  = $node->data_dir . '/pg_wal';
	my @done = sort map { m{([^/]+)\.done$} } glob "$wal/archive_status/*.done";
	my @wrong = grep { !$stored{$_} } @done;
	my @names = grep { -e "$wal/$_" } @done;
	my $back  = "$Pitr::TEST_DIRECTORY/back";
	for my $i (grep { $_ % 40 == 0 || $_ == $#names || $names[$_] =~ /\./ } 0 .. $#names) {
		system("'$Pitr::BIN/pitr-fetch' '" . $repo->options . "' --log-level=error $names[$i] '$back' 2>/dev/null") == 0
		  && read_file($back) eq read_file("$wal/$names[$i]")
		  or push @wrong, $names[$i];
	}
	return ok(@done > 0 && !@wrong, $title . ' (' . @done . ' files)') || diag("wrong: " . join ' ', grep { defined } @wrong[ 0 .. 4 ]);
}

sub stop_fast {
	my ($title) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($begin, $worker) = (time, worker());
	$node->stop('fast');    # dies after a minute
	note(sprintf '%s: stopped in %.1f s', $title, time - $begin);
	ok(!defined $worker || wait_until(sub { !kill 0, $worker }), "$title: the server stops, and its worker ends");
	return;
}

sub is_calm {
	my ($title) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return unlike(read_file($node->logfile), qr/terminated by signal|reinitializing|crash of another|was not properly shut down|archiver process .* exited/, $title);
}

# pgbench until it is told to end, with 1 MB segments quickly full.
my $load;

sub load_begin {
	my $script = write_file("$Pitr::TEST_DIRECTORY/load.sql", "SELECT pg_logical_emit_message(true, 'load', repeat('x', 200000));\n\\sleep 20 ms\n");
	$load = fork // die;
	return if $load;
	open STDOUT, '>', '/dev/null';
	open STDERR, '>', '/dev/null';
	exec $node->bin . '/pgbench', '-n', '-c', 2, '-T', 600, '-f', $script, $node->connection, 'postgres';
}

sub load_end { kill 'TERM', $load; waitpid $load, 0; return }

# What goes wrong in the server itself while a request is out; an archiver of 17 and later survives it, and asks again.
sub errors_while_asked {
	my ($version) = @_;
	my $control = $node->data_dir . '/global/pg_control';
	$repo->write_config('limit-rate' => '256kB');
	$node->switch_wal;
	$node->query(q{SELECT pg_logical_emit_message(false, 'fill', string_agg(md5(random()::text), '')) FROM generate_series(1, 30000)}) for 1 .. 6;
	$node->switch_wal;
	sleep 0.7;
	said();
	chmod 0, $control;
	sleep 0.7;
	chmod 0600, $control;
	unlike(said(), qr/ERROR|FATAL|PANIC/, "$version: an unreadable pg_control is no error");
	my $archiver_of = sub { $node->query(q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'archiver'}) };
	my ($worker, $archiver) = (worker(), $archiver_of->());
	if ($version >= 17) {
		system('prlimit', '--pid', $archiver, '--nofile=3:');
		says(qr/ERROR: .*(?:epoll|Too many open files)/, "$version: an ERROR while the worker is busy");
		system('prlimit', '--pid', $archiver, '--nofile=1024:');
		ok(wait_until(sub { !kill 0, $worker }), '… whose late answer nobody takes for that to the next request');
	}
	$repo->write_config('limit-rate' => undef);
	is_archived('… it goes on');
	is($archiver_of->(), $archiver, '… in the same archiver');
	unlike(said(), qr/is no answer/, '… and there is no answer but to what was asked');
	is_whole('… and what is called archived is in the repository');
	return;
}

# --- each version -----------------------------------------------------------------------------------------------------------
for my $version (pg_versions()) {
	my $not_configured = $version < 17 ? qr/WARNING: +pitr_archive cannot archive\n.*DETAIL: +/ : qr/WARNING: +"?archive_mode"? enabled, yet archiving is not configured\n.*DETAIL: +/;
	server("v$version", $version, 'pitr_archive.program' => '/not/there');
	$node->start;
	fill(40);
	says(qr/${not_configured}The program "\/not\/there" \(pitr_archive\.program\) cannot be executed: No such file/, "$version: a program that is not there is told");
	my @waiting = $node->waiting_wal;
	settings('pitr_archive.program' => "$Pitr::BIN/../libexec/pitr/pitr-archiver", 'pitr_archive.config_file' => '/not/there');
	$node->switch_wal;
	says(qr/${not_configured}The file "\/not\/there" \(pitr_archive\.config_file\) cannot be read/, "$version: so is a configuration file");
	cmp_ok(scalar(@waiting), '>', 30, '… and what waits goes on waiting');
	is(join(' ', counts()), '0 0', '… which is neither success nor failure');

	my $config = read_file($repo->config);
	write_file($repo->config, "nonsense = 1\n");
	settings('pitr_archive.config_file' => $repo->config);
	$node->switch_wal;
	says(qr/WARNING: +pitr_archive: could not archive.*unknown setting "nonsense"|WARNING: +pitr_archive: .*configuration file .* line 1.*\n.*HINT/, "$version: a configuration that cannot be read is what the warning says");
	wait_until(sub { (counts())[1] > 0 });
	my ($archived, $failed) = counts();
	is($archived, 0, '… nothing is archived');
	cmp_ok($failed, '>', 0, '… which pg_stat_archiver counts');
	ok(-e $node->data_dir . '/pitr.archive-failure', '… and the data directory tells why');
	write_file($repo->config, $config);
	is_archived("$version: once it can be read, all is archived");
	is_whole("$version: it is in the repository");
	my @ahead = said() =~ /"([0-9A-F]{24})" has been stored by an earlier call/g;
	cmp_ok(scalar(@ahead), '>=', 25, '… most of it before the server asked for it');
	is((counts())[1], $node->query("SELECT failed_count FROM pg_stat_archiver WHERE last_archived_time > last_failed_time"), '… which pg_stat_archiver knows too');

	my $worker = worker();
	$node->psql('postgres', "SELECT pg_backup_start('b', true); SELECT pg_backup_stop(false)");
	is_archived("$version: with a .backup file");
	is(scalar(() = glob $node->data_dir . '/pg_wal/archive_status/*.backup.done'), 1, '… of which there is one');
	is(worker(), $worker, '… by one and the same worker');

	# The configuration changes while the worker waits.
	$repo->write_config('log-level' => 'info');
	is_archived("$version: with another configuration");
	$log_at = -s $node->logfile;
	is_archived('…');
	unlike(said(), qr/debug: /, '… which it has read');
	is_calm("$version: the server has not been disturbed");
	errors_while_asked($version);

	# A new timeline begins.
	$node->stop('fast');
	is_deeply([ $node->waiting_wal ], [], "$version: stopped, it leaves nothing unarchived");
	write_file($node->data_dir . '/recovery.signal', '');
	settings(restore_command => 'false');
	$node->start;
	wait_until(sub { $node->query('SELECT pg_is_in_recovery()') eq 'f' });
	is_archived("$version: on a new timeline");
	is(scalar(my @histories = $repo->objects(qr/00000002\.history$/)), 1, '… with its history');
	is_whole('… all of it');
	stop_fast("$version");

	# Both set (failures.md, E5).
	settings(archive_command => 'true');
	$log_at = -s $node->logfile;
	$node->start;
	if ($version < 17) {
		is_archived("$version: with an archive_command besides, the library archives");
		is_whole('…');
	} else {
		says(qr/FATAL: +both "?archive_command"? and "?archive_library"? set/, "$version: with an archive_command besides, the server does not archive");
		$node->switch_wal;
		cmp_ok(scalar(my @left = $node->waiting_wal), '>', 0, '… nothing is lost');
	}
	$node->stop('immediate');
}

# --- what may happen --------------------------------------------------------------------------------------------------------
server('faults', (pg_versions())[0], 'pitr_archive.timeout' => '2s');
$node->start;
my $postmaster = (split /\n/, read_file($node->data_dir . '/postmaster.pid'))[0];
load_begin();
ok(wait_until(sub { defined worker() && (counts())[0] > 3 }), 'under load the module archives');

for my $case (1 .. 4) {
	my $worker = worker();
	kill 'KILL', $worker if defined $worker;
	my ($archived) = counts();
	wait_until(sub { (counts())[0] > $archived + 1 }) && defined worker() && worker() != ($worker // 0)
	  or fail("killed for the ${case}th time, another one takes its place");
}
pass('a worker that is killed is replaced');

{
	my $worker = worker();
	said();
	kill 'STOP', $worker;
	says(qr/WARNING: +pitr_archive: could not archive "[0-9A-F]{24}": ".*" did not answer within 2 s/, 'a worker that is stopped is told');
	my ($archived, $failed) = counts();
	cmp_ok($failed, '>', 0, '… and counted');
	ok(wait_until(sub { (counts())[0] > $archived + 1 }), '… and replaced');
	ok(!kill(0, $worker), '… and gone');
}

{
	said();
	rename $repo->path, $repo->path . '.away';
	my (undef, $failed) = counts();
	says(qr/WARNING: +pitr_archive: could not archive "[0-9A-F]{24}": .*is it mounted\?.*\n.*HINT: +Mount it/, 'a repository that is not there is told');
	ok(wait_until(sub { (counts())[1] > $failed }), '… and counted');
	is($node->query(q{SELECT count(*) FROM pg_stat_archiver WHERE last_failed_wal > last_archived_wal}), 1, '… with the file that waits');
	sleep 60 if is_full_run();
	rename $repo->path . '.away', $repo->path;
	load_end();
	is_archived('once it is there again, all is archived');
	is_whole('… and in the repository');
}

# --- stopping ---------------------------------------------------------------------------------------------------------------
is((split /\n/, read_file($node->data_dir . '/postmaster.pid'))[0], $postmaster, 'the server is the one that was started');
settings('pitr_archive.timeout' => '1h');
for my $case (
	[ 'at full speed',           sub { },                                              1 ],
	[ 'with its worker killed',  sub { kill 'KILL', worker() },                        1 ],
	[ 'with its worker stopped', sub { kill 'STOP', worker() },                        1 ],
	[ 'without its repository',  sub { rename $repo->path, $repo->path . '.away' },    0 ],
) {
	my ($title, $do, $is_archived) = @$case;
	load_begin();
	my ($archived) = counts();
	wait_until(sub { defined worker() && (counts())[0] > $archived + 3 });
	$do->();
	stop_fast($title);
	load_end();
	my @left = $node->waiting_wal;
	ok($is_archived ? !@left : @left > 0, $is_archived ? '… nothing is left to archive' : '… what is not archived waits') or diag(@left . ' files are left');
	rename $repo->path . '.away', $repo->path unless $is_archived;
	$node->start;
}
is_archived('after all that the server archives');
is_whole('… and all that it calls archived is there');
is_calm('nothing of it has disturbed the server');

# Programs that are not ours, as far as a child can be wrong.
sub program {
	my ($script) = @_;
	my $program = write_file("$Pitr::TEST_DIRECTORY/program", "#!/bin/sh\n$script");
	chmod 0755, $program;
	said();
	settings('pitr_archive.program' => $program);
	$node->switch_wal;
	return;
}

for my $case (
	[ 'nonsense is no answer',             "read line\necho nonsense >&0\nread line\n",   qr/could not archive ".*": ".*" says something that is no answer/ ],
	[ '… nor are two answers',             "read line\nprintf 'stored\\nstored\\n' >&0\nread line\n", qr/could not archive ".*": ".*" says something that is no answer/ ],
	[ '… nor is one that names no file',   "read line\nprintf 'stored\\n' >&0\nread line\n", qr/could not archive ".*": ".*" says something that is no answer/ ],
	[ '… nor one that names another',      "read line\nprintf 'stored\\t000000010000000000000001\\n' >&0\nread line\n", qr/could not archive ".*": ".*" says something that is no answer/ ],
	[ '… nor is one without end',          "exec 3>&0\nread line\nhead -c 100000 /dev/zero | tr '\\0' x >&3\nread line\n", qr/could not archive ".*": ".*" says something that is no answer/ ],
	[ '… nor is an end',                   "read line\nexit 3\n",                         qr/could not archive ".*": ".*" ended with exit status 3 before it answered/ ],
) {
	my ($title, $script, $pattern) = @$case;
	my ($archived) = counts();
	program($script);
	says($pattern, $title);
	is((counts())[0], $archived, '… and nothing is archived');
}
program("read line\nexec sleep 1000\n");
$node->stop('fast');    # dies after a minute
like(said(), qr/the server shuts down, and ".*" does not answer/, 'with a worker that never answers the server stops');
cmp_ok(scalar(my @left = $node->waiting_wal), '>', 0, '… and what it did not archive waits');
settings('pitr_archive.program' => "$Pitr::BIN/../libexec/pitr/pitr-archiver");
$node->start;
is_archived('… until there is the right one');

# Whoever is left without a server ends.
{
	my $worker = worker();
	my $pid = $node->{_pid};
	$node->kill9;
	ok(wait_until(sub { !kill 0, $worker }), 'when the postmaster is killed its worker ends');
	wait_until(sub { !kill(0, $pid) && !grep { (readlink("/proc/$_/cwd") // '') eq $node->data_dir } map { m{(\d+)$} } glob '/proc/[0-9]*' });
	$node->start;
	is_archived('… and another server goes on');
	is_whole('… without a gap');
}

# Where the archiver runs during recovery: the checkpoint at its end looks like that of a server that is shut down.
settings('pitr_archive.timeout' => '1h', 'pitr_archive.program' => write_file("$Pitr::TEST_DIRECTORY/late", "#!/bin/sh\nsleep 4\nexec $Pitr::BIN/../libexec/pitr/pitr-archiver \"\$@\"\n"));
chmod 0755, "$Pitr::TEST_DIRECTORY/late";
settings(archive_mode => 'always', restore_command => 'false', recovery_end_command => 'sleep 5');
kill 'STOP', worker();
$node->switch_wal;
$node->stop('immediate');
write_file($node->data_dir . '/recovery.signal', '');
$node->start;
wait_until(sub { $node->query('SELECT pg_is_in_recovery()') eq 'f' });
is_archived('with archive_mode = always the server archives on behind a recovery');
is_whole('… all of it');

# /etc/pitr/pitr.conf, which nobody names, appears while the worker waits.
SKIP: {
	skip 'this system gives users no mount namespaces', 2 if system('unshare -rm true 2>/dev/null') != 0;
	my $etc = directory('etc');
	socketpair(my $ours, my $theirs, AF_UNIX, SOCK_STREAM, PF_UNSPEC) or die "could not make sockets: $!\n";
	my $pid = fork // die "could not fork: $!\n";
	if ($pid == 0) {
		while (my ($name, $value) = each %{ $repo->{settings} }) { $ENV{ 'PITR_' . uc($name =~ tr/-/_/r) } = $value }
		chdir $node->data_dir;
		open STDIN, '<&', $theirs;
		exec 'unshare', '-rm', 'sh', '-c', 'mount --bind "$0" /etc && exec "$1"', $etc, "$Pitr::BIN/../libexec/pitr/pitr-archiver";
	}
	close $theirs;
	local $SIG{ALRM} = sub { die "the worker does not answer\n" };
	my ($name) = map { m{([^/]+)\.done$} && -e $node->data_dir . "/pg_wal/$1" ? $1 : () } glob $node->data_dir . '/pg_wal/archive_status/*.done';
	my $ask = sub { alarm 60; syswrite $ours, "pg_wal/$name\n"; sysread $ours, my $answer, 4096; alarm 0; return $answer };
	is($ask->(), "stored\t$name\n", 'without a configuration file the environment is enough');
	mkdir "$etc/pitr";
	write_file("$etc/pitr/pitr.conf", "nonsense = 1\n");
	like($ask->(), qr/^failed\t$name\t.*unknown setting "nonsense"/, 'one that appears is read with the next request');
	close $ours;
	waitpid $pid, 0;
}
$node->stop;

done_testing();
