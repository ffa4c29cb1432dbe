# pitr-restore --start: the server is started, followed to its target, asked what it reached, and that is held against
# the plan. --step: a paused recovery goes on without another restore.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use Pitr;
use IO::Socket::INET;

my @directories;    # of servers that outlive pitr-restore, and must not outlive this test

END {
	my $status = $?;
	for my $pid (grep { defined } map { server_pid($_) } @directories) {
		kill 'QUIT', $pid;
		wait_until(sub { !kill 0, $pid }, 20);
	}
	$? = $status;
}

my %source;
for my $version (pg_versions()) {
	$source{$version} = source($version);
	every_target($version);
	steps($version);
}
my $version = (pg_versions())[0];
alone($version);
progress($version);
damaged($version);
compared($version);
programs($version);
ports($version);
configuration($version);
predicted($version);
timelines($version);
done_testing();

# --------------------------------------------------------------------------------------------------------------------

sub server_pid {
	my ($directory) = @_;
	my ($pid) = -e "$directory/postmaster.pid" ? read_file("$directory/postmaster.pid") =~ /^(\d+)/ : ();
	return defined $pid && kill(0, $pid) ? $pid : undef;
}

sub stop_server {
	my ($directory) = @_;
	my $pid = server_pid($directory) // return;
	kill 'INT', $pid;
	wait_until(sub { !kill 0, $pid }) or die "the server in \"$directory\" does not stop\n";
	return;
}

# A new data directory whose server ends with the test.
my $number = 0;
sub place {
	my $path = "$Pitr::TEST_DIRECTORY/copy" . ++$number;
	push @directories, $path;
	return $path;
}

# Twelve transactions behind a base backup, and a restore point behind the sixth. Many small segments.
sub source {
	my ($major) = @_;
	my $repo = repo("source$major");
	my $node = cluster("source$major", version => $major, repo => $repo, log_commits => 1, initdb => ['--wal-segsize=1'],
		conf => "listen_addresses = '127.0.0.1'\n");
	$node->query('CREATE TABLE t (id int, filler text)');
	run_ok([ 'pitr-basebackup', $repo->options, $node->connection, '--checkpoint=fast' ], "PostgreSQL $major: a backup");
	my $point;
	for my $id (1 .. 12) {
		$node->query("INSERT INTO t SELECT $id, repeat(md5(g::text), 20) FROM generate_series(1, 1500) g");
		$point = $node->query(q{SELECT pg_create_restore_point('between')}) if $id == 6;
		select undef, undef, undef, 0.02;
	}
	my @commits = (undef, map { { split /[=|]/ } } split /\n/, $node->query(
		q{SELECT DISTINCT 'id=' || id || '|time=' || pg_xact_commit_timestamp(xmin) || '|xid=' || xmin FROM t ORDER BY 1}));
	my %commits = map { $_->{id} => $_ } grep { defined } @commits;
	$node->archive_all;
	$node->stop;
	return { repo => $repo, node => $node, point => $point, commits => \%commits, bin => $node->bin };
}

# The command that restores and starts; the right programs are found by the PATH.
sub start_command {
	my ($major, $directory, @more) = @_;
	return ([ 'pitr-restore', $source{$major}{repo}->options, '-D', $directory, '--start', @more ],
		env => { PATH => "$source{$major}{bin}:$ENV{PATH}" });
}

sub step_command {
	my ($major, $directory, @more) = @_;
	return ([ 'pitr-restore', $source{$major}{repo}->options, '-D', $directory, '--step', @more ],
		env => { PATH => "$source{$major}{bin}:$ENV{PATH}" });
}

sub started {
	my ($major, $title, @target) = @_;
	my $directory = place();
	my ($command, %options) = start_command($major, $directory, '--json', @target);
	return ($directory, run_json($command, $title, %options));
}

sub stepped {
	my ($major, $directory, $title, @step) = @_;
	my ($command, %options) = step_command($major, $directory, @step, '--json');
	return run_json($command, $title, %options);
}

# Asked of the server itself.
sub ask {
	my ($major, $answer, $sql) = @_;
	my $stdout = run_ok([ "$source{$major}{bin}/psql", '-XAtq', '-h', $answer->{server}{host}, '-p', $answer->{server}{port},
		'-c', $sql, 'postgres' ], "asked: $sql");
	chomp $stdout;
	return $stdout;
}

sub ids { my ($major, $answer) = @_; return ask($major, $answer, 'SELECT max(id) FROM t') }

# PostgreSQL writes only as many digits of a fraction as there are.
sub same_time {
	my ($left, $right, $title) = @_;
	s/(\.\d*?)0*([+-]\d+)$/$1$2/, s/\.([+-])/$1/ for $left, $right;
	return is($left, $right, $title);
}

# --------------------------------------------------------------------------------------------------------------------

# Each sort of target with some action: whatever the server says about itself is what pitr-restore says, and is as
# planned. Three of them for each version, all in a full run.
sub every_target {
	my ($major) = @_;
	my $commits = $source{$major}{commits};
	my $lsn     = $source{$major}{point};
	my @targets = (
		# target, action, ids up to, the server's own words
		[ [ '--target-name', 'between' ], 'pause', 6, qr/^recovery stopping at restore point "between"/ ],
		[ [], 'promote', 12, qr/^recovery stopping after WAL location/ ],
		[ [ '--target-lsn', $lsn ], 'shutdown', 6, qr/^recovery stopping after WAL location/ ],
		[ [ '--target-xid', $commits->{4}{xid} ], 'promote', 4, qr/^recovery stopping after commit of transaction $commits->{4}{xid},/ ],
		[ [ '--target-time', $commits->{1}{time}, '--target-exclusive' ], 'pause', '', qr/^recovery stopping before commit of/ ],
		[ [ '--target-xid', $commits->{9}{xid}, '--target-exclusive' ], 'shutdown', 8, qr/^recovery stopping before commit of/ ],
		[ [ '--target-lsn', $lsn, '--target-exclusive' ], 'pause', 6, qr/^recovery stopping before WAL location/ ],
		[ ['--target-immediate'], 'promote', '', qr/^recovery stopping after reaching consistency/ ],
	);
	my ($turn) = grep { (pg_versions())[$_] == $major } 0 .. $#{ [ pg_versions() ] };
	@targets = @targets[ map { ($_ + 3 * $turn) % @targets } 0 .. 2 ] unless is_full_run();
	target_reached($major, @$_) for @targets;
	return;
}

sub target_reached {
	my ($major, $target, $action, $last, $words) = @_;
	my $title = "PostgreSQL $major: " . join ' ', @$target, $action;
	my ($directory, $answer) = started($major, $title, @$target, '--target-action', $action);
	my $reached = $answer->{reached};
	is($reached->{state}, { pause => 'paused', promote => 'promoted', shutdown => 'shut down' }->{$action}, "… $action");
	ok($reached->{as_planned}, '… as planned') or diag(explain($reached));
	like($reached->{server_says}, $words, '… where the server says that it stopped');
	is($reached->{timeline}, $action eq 'promote' ? 2 : 1, '… the timeline');
	return shut_down($major, $directory, $answer) if $action eq 'shutdown';
	is(ids($major, $answer), $last, '… the rows');
	is(ask($major, $answer, 'SELECT pg_last_wal_replay_lsn()'), $reached->{lsn}, '… the LSN is that of the server');
	same_time($reached->{last_transaction}, $source{$major}{commits}{$last}{time}, '… the last commit') if $last;
	is(server_pid($directory), $answer->{server}{pid}, '… the server goes on behind pitr-restore');
	is(-e "$directory/pitr.restore" ? 1 : 0, $action eq 'pause' ? 1 : 0, '… whether there is anything to step from');
	stop_server($directory);
	return;
}

sub shut_down {
	my ($major, $directory, $answer) = @_;
	is(server_pid($directory), undef, '… no server is left');
	my ($minimum) = run_ok([ "$source{$major}{bin}/pg_controldata", $directory ], '… it left a control file') =~
	  /^Minimum recovery ending location: +(\S+)/m;
	is($answer->{reached}{lsn}, $minimum, '… whose LSN is named');
	return;
}

# Along two timelines: paused on the second one, and promoted to a third.
sub timelines {
	my ($major) = @_;
	my ($source, $node) = ($source{$major}, $source{$major}{node});
	write_file($node->data_dir . '/standby.signal', '');
	$node->start;
	$node->promote;
	my $xid = $node->query("INSERT INTO t VALUES (13, '') RETURNING xmin");
	$node->query("INSERT INTO t VALUES (14, '')");
	$node->archive_all;
	$node->stop;
	my ($directory, $answer) = started($major, 'to a transaction of the second timeline', '--target-xid', $xid);
	is("$answer->{reached}{timeline} " . ids($major, $answer), '2 13', '… paused on it');
	stop_server($directory);
	($directory, $answer) = started($major, 'to the latest of it');
	is("$answer->{reached}{timeline} " . ids($major, $answer), '3 14', '… promoted to the third');
	stop_server($directory);
	return;
}

# A paused recovery goes further, twice, and is then promoted.
sub steps {
	my ($major) = @_;
	my ($source, $title) = ($source{$major}, "PostgreSQL $major");
	my $commits = $source->{commits};
	my ($directory, $answer) = started($major, "$title: to a time", '--target-time', $commits->{3}{time});
	is(ids($major, $answer), 3, '… paused behind the third');
	same_time($answer->{reached}{last_transaction}, $commits->{3}{time}, '… whose commit the server names');

	# From that commit, which is the target, to behind the fifth: a relative step counts from there.
	my $milliseconds = milliseconds_between($commits->{3}{time}, $commits->{5}{time}) + 1;
	my $base = (stat "$directory/base/1/PG_VERSION")[1];
	$answer = stepped($major, $directory, "$title: a step of $milliseconds ms", "+${milliseconds}ms");
	is($answer->{reached}{state}, 'paused', '… is paused again');
	ok($answer->{reached}{as_planned}, '… as planned') or diag(explain($answer->{reached}));
	is(ids($major, $answer), 5, '… with two more rows');
	is((stat "$directory/base/1/PG_VERSION")[1], $base, '… in the same files: nothing was restored again');

	my ($command, %options) = step_command($major, $directory, $commits->{2}{time});
	run_fails($command, 2, qr/error: \Q@{[ local_time($commits->{2}{time}) ]}\E.* is not later than .*hint: PostgreSQL cannot go back/s,
		'a step back is refused, naming both', %options);
	($command, %options) = step_command($major, $directory, '+0 min');
	run_fails($command, 2, qr/is no duration/, 'a step of nothing is refused', %options);
	($command, %options) = step_command($major, $directory, '+1 hour');
	run_fails($command, 2, qr/is in the future/, 'a step into the future is refused', %options);
	($command, %options) = step_command($major, $directory, '+1ms');
	run_fails($command, 2, qr{nothing lies between LSN [0-9A-F/]+, .* and .*No transaction}s,
		'a step to where nothing happened is refused', %options);
	($command, %options) = step_command($major, $directory, '+5 min', '--target-name', 'between');
	run_fails($command, 2, qr/a target of its own/, 'a step takes no target', %options);
	is(ids($major, $answer), 5, '… and the server is as it was');

	$answer = stepped($major, $directory, "$title: a step to a time", $commits->{8}{time});
	is(ids($major, $answer), 8, '… with three more rows');
	my @auto = read_file("$directory/postgresql.auto.conf") =~ /^(\w+) =/mg;
	my %times; $times{$_}++ for @auto;
	is(join(' ', grep { $times{$_} > 1 } sort keys %times), '', '… each setting stands once');

	is(ask($major, $answer, 'SELECT pg_wal_replay_resume()'), '', 'it is promoted');
	my $is_open = sub { (run_program([ "$source->{bin}/psql", '-XAtq', '-h', $answer->{server}{host}, '-c',
		'SELECT pg_is_in_recovery()', 'postgres' ]))[1] eq "f\n" };
	ok(wait_until($is_open), '… and open');
	($command, %options) = step_command($major, $directory, '+5 min');
	run_fails($command, 2, qr/has been promoted/, 'a step is refused then', %options);
	stop_server($directory);
	run_fails($command, 2, qr/has been promoted/, '… and when it is stopped', %options);
	return;
}

sub milliseconds_between {
	my ($from, $to) = map { my ($h, $m, $s) = /(\d+):(\d+):([\d.]+)/; ($h * 60 + $m) * 60 + $s } @_;
	$to += 86400 if $to < $from;
	return int(($to - $from) * 1000);
}

# As it is said in messages: without zeros behind.
sub local_time { my ($time) = @_; return $time =~ s/(:\d\d)(\.\d+)?\+00$/$1/r }

# Nobody but the owner can reach it.
sub alone {
	my ($major) = @_;
	my @ports   = ($source{$major}{node}->port, 5432);
	my $answers = sub { join ' ', grep { IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $_) } @ports };
	my $before  = $answers->();    # a server of this machine, perhaps
	my ($directory, $answer) = started($major, 'a server of its own', '--target-immediate');
	is(ask($major, $answer, 'SHOW listen_addresses'), '', '… has no addresses');
	is($answers->(), $before, '… and answers at no port');
	my $mode = (stat $answer->{server}{host})[2] & 07777;
	is(sprintf('%04o', $mode), '0700', '… its socket is in a private directory');
	like($answer->{server}{log}, qr/^\Q$directory\E/, '… its log is below the data directory');
	like(read_file($answer->{server}{log}), qr/starting PostgreSQL $major/, '… and is that of this server');
	stop_server($directory);

	# A path that is too long for a socket.
	my $long = "$Pitr::TEST_DIRECTORY/" . 'long' x 20;
	push @directories, $long;
	my ($command, %options) = start_command($major, $long, '--json', '--target-immediate');
	$answer = run_json($command, 'a data directory with a long path', %options, );
	unlike($answer->{server}{host}, qr/^\Q$long\E/, '… has its socket elsewhere');
	is(sprintf('%04o', (stat $answer->{server}{host})[2] & 07777), '0700', '… in a private directory too');
	is(ask($major, $answer, 'SELECT 1'), '1', '… and answers');
	stop_server($long);
	rmdir $answer->{server}{host};
	return;
}

# Programs of ours in a directory of their own, with another pitr-fetch.
sub programs_with_fetch {
	my ($name, $script) = @_;
	my $bin = directory($name) . '/bin';
	mkdir $bin, 0755 or die "could not make \"$bin\": $!\n";
	require File::Copy;
	File::Copy::copy("$Pitr::BIN/pitr-restore", "$bin/pitr-restore") or die "could not copy pitr-restore: $!\n";
	symlink "$Pitr::BIN/pitr-archive", "$bin/pitr-archive";
	write_file("$bin/pitr-fetch", "#!/bin/sh\n$script\nexec $Pitr::BIN/pitr-fetch \"\$@\"\n");
	chmod 0755, "$bin/pitr-restore", "$bin/pitr-fetch";
	return "$bin/pitr-restore";
}

sub progress {
	my ($major) = @_;
	my $restore   = programs_with_fetch('slow', 'sleep 0.5');
	my $directory = place();
	my ($command, %options) = start_command($major, $directory, '-P', '--target-xid', $source{$major}{commits}{11}{xid});
	$command->[0] = $restore;
	my ($stdout, $stderr) = run_ok($command, 'a slow replay', %options);
	like($stderr, qr/^replayed to \d\d:\d\d:\d\d of \d\d:\d\d:\d\d, \d+ %, \d+ MB\/s, \d+ s left$/m, '… shows how far it is');
	like($stdout, qr/^Reached:      paused at LSN [0-9A-F\/]+ on timeline 1, as planned$/m, '… and what it reached');
	like($stdout, qr/^    psql -h \S+ postgres$/m, '… and how to look at it');
	stop_server($directory);
	return;
}

# A segment is damaged when the restore is done, before the server asks for it.
sub damaged {
	my ($major) = @_;
	my $repo  = $source{$major}{repo};
	my @names = $repo->objects(qr{/main/wal/00000001/.*/[0-9A-F]{24}$});
	my $object = $names[ @names / 2 ];
	my ($segment) = $object =~ m{([^/]+)$};
	my $before  = read_file($repo->path . "/$object");
	# Without a spool: what was fetched ahead would be whole.
	my $restore = programs_with_fetch('damaged',
		"set -- \"\$@\" --spool=/dev/null/none; case \"\$*\" in *$segment*) chmod 600 @{[ $repo->path ]}/$object; echo x >> @{[ $repo->path ]}/$object ;; esac");
	my $directory = place();
	my ($command, %options) = start_command($major, $directory);
	$command->[0] = $restore;
	run_fails($command, 1, qr/error: the server could not recover: could not restore file "$segment".*\(could not .*$segment.*\)\n.*hint: /s,
		'a damaged segment: the server\'s sentence, and pitr-fetch\'s', %options);
	ok(wait_until(sub { !defined server_pid($directory) }, 20), '… and no server is left');
	write_file($repo->path . "/$object", $before);
	return;
}

# A server that stops elsewhere than was planned is not taken for a success.
sub compared {
	my ($major) = @_;
	my ($source, $bin) = ($source{$major}, directory('elsewhere'));
	my ($plan) = run_json([ 'pitr-restore', $source->{repo}->options, '--dry-run', '--json', '--target-time',
		$source->{commits}{2}{time} ], 'a plan for the second transaction');
	write_file("$bin/postgres", <<"SCRIPT");
#!/bin/sh
[ "\$1" != -D ] || sed -i "s|^recovery_target_lsn = '.*|recovery_target_lsn = '$plan->{stop_lsn}'|" "\$2/postgresql.auto.conf"
exec $source->{bin}/postgres "\$@"
SCRIPT
	chmod 0755, "$bin/postgres";
	my $directory = place();
	my ($command, %options) = start_command($major, $directory, '--pg-bin', $bin, '--json', '--target-time',
		$source->{commits}{7}{time});
	my ($status, $stdout, $stderr) = run_program($command, %options);
	is($status, 1, 'a server that stops too early is an error');
	like($stderr, qr/error: the server did not reach what was planned: the server says "recovery stopping after WAL location \(LSN\) "\Q$plan->{stop_lsn}\E""; planned was behind the record at LSN/,
		'… which names both');
	require JSON;
	my $answer = JSON::decode_json($stdout);
	ok(!$answer->{reached}{as_planned}, '… and is in the answer');
	like(join("\n", @{ $answer->{reached}{differences} }), qr/the server says .*^the server does not have the last commit of the plan/ms,
		'… with what differs: its words, the last commit') or diag(explain($answer->{reached}));
	stop_server($directory);

	write_file("$bin/postgres", "#!/bin/sh\nexec $source->{bin}/postgres \"\$@\" -c recovery_target_action=shutdown\n");
	$directory = place();
	($command, %options) = start_command($major, $directory, '--pg-bin', $bin, '--target-name', 'between');
	run_fails($command, 1, qr/shut down/, 'a server that shuts down instead of pausing is an error', %options);
	return;
}

# Which server is started.
sub programs {
	my ($major) = @_;
	my ($other) = grep { $_ != $major } pg_versions();
	my $directory = "$Pitr::TEST_DIRECTORY/never";
	my ($command, %options);
	if (defined $other) {
		($command, %options) = start_command($major, $directory, '--pg-bin', $source{$other}{bin});
		run_fails($command, 2, qr/could not find the server of PostgreSQL $major; looked at "\Q$source{$other}{bin}\E" \(PostgreSQL $other\)/,
			'the programs of another version are refused', %options);
	}
	my $nothing = directory('nothing');
	($command, %options) = start_command($major, $directory, '--pg-bin', $nothing);
	run_fails($command, 2, qr/looked at "\Q$nothing\E" \(none\)/, '… and a directory without any', %options);
	($command, %options) = start_command($major, $directory, '--port', 'http');
	run_fails($command, 2, qr/--port: "http" is not a number/, 'a port is a number', %options);
	($command, %options) = start_command($major, $directory, '--config-file', "$directory.conf");
	run_fails($command, 2, qr/--config-file: there is no "\Q$directory.conf\E"/, 'a configuration file is there', %options);
	($command, %options) = start_command($major, $directory, '--standby');
	run_fails($command, 2, qr/a standby has none/, 'a standby has no target to be followed to', %options);
	run_fails([ 'pitr-restore', $source{$major}{repo}->options, '-D', $directory, '--port', '5433' ], 2, qr/--start/,
		'--port goes with --start');
	ok(!-e $directory, 'nothing was written for any of them');
	run_fails([ 'pitr-restore', $source{$major}{repo}->options, '-D', $nothing, '--step', '+5 min' ], 2,
		qr/no recovery that could go on/, 'a step needs what a restore left');
	return;
}

# With a port, the addresses of the configuration count.
sub ports {
	my ($major) = @_;
	my $port = PostgreSQL::Test::Cluster::get_free_port();
	my ($directory, $answer) = started($major, 'a server with a port', '--target-xid', $source{$major}{commits}{1}{xid},
		'--port', $port);
	ok(IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port), "… listens at it");
	is($answer->{server}{port}, $port, '… and says so');
	$answer = stepped($major, $directory, 'a step of it', $source{$major}{commits}{2}{time});
	ok(IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port), '… listens there again');
	is(ids($major, $answer), 2, '… and has gone on');
	stop_server($directory);

	# There the passwords of the configuration count, too; the server stays as it is.
	my $hba = write_file("$Pitr::TEST_DIRECTORY/pg_hba.conf", "local all all scram-sha-256\n");
	my $conf = write_file("$Pitr::TEST_DIRECTORY/postgresql.conf", "max_connections = 30\nlisten_addresses = ''\n"
		  . "unix_socket_directories = '@{[ directory('sockets') ]}'\n");
	$directory = place();
	my ($command, %options) = start_command($major, $directory, '--port', $port, '--config-file', $conf, '--target-immediate');
	run_fails($command, 1, qr/the server runs, but cannot be asked what it has reached: .*hint: Its process \d+ goes on/s,
		'a server that does not let us in', %options);
	ok(defined server_pid($directory), '… goes on');
	stop_server($directory);

	# A server for which fewer connections are configured than its source had.
	write_file($conf, "max_connections = 10\n");
	($command, %options) = start_command($major, $directory = place(), '--config-file', $conf, '--target-name', 'between');
	run_fails($command, 1, qr/the server could not recover: recovery aborted because of insufficient parameter settings \(max_connections = 10 is a lower.*hint: You can restart/s,
		'a server that cannot follow its source', %options);
	stop_server($directory);
	return;
}

# Debian keeps the configuration outside of the data directory.
sub configuration {
	my ($major) = @_;
	my $repo = repo('apart');
	my $node = cluster('apart', version => $major, repo => $repo, start => 0);
	my ($data, $conf) = ($node->data_dir, directory('etc'));
	for my $name ('postgresql.conf', 'pg_hba.conf', 'pg_ident.conf') {
		write_file("$conf/$name", read_file("$data/$name"));
		unlink "$data/$name";
	}
	write_file("$conf/postgresql.conf", read_file("$conf/postgresql.conf")
		  . "data_directory = '$data'\nhba_file = '$conf/pg_hba.conf'\nident_file = '$conf/pg_ident.conf'\nexternal_pid_file = '$conf/pid'\n");
	push @directories, $data;
	run_ok([ $node->bin . '/pg_ctl', '-s', '-w', '-D', $conf, '-l', "$conf/log", 'start' ], 'a server with its configuration elsewhere');
	run_ok([ 'pitr-basebackup', $repo->options, $node->connection, '--checkpoint=fast', "--include=$conf" ], '… is backed up');
	$node->query('CREATE TABLE t AS SELECT 1 AS id');
	$node->archive_all;

	my $directory = place();
	my @command = ('pitr-restore', $repo->options, '-D', $directory, '--start');
	my %options = (env => { PATH => $node->bin . ":$ENV{PATH}" });
	run_fails(\@command, 2, qr/no postgresql\.conf in its data directory.*hint: It holds "\Q$conf\E\/postgresql\.conf": give --included-to DIR/s,
		'a backup without postgresql.conf: the way out is named', %options);
	ok(!-e $directory, '… before anything is written');
	my $included = "$Pitr::TEST_DIRECTORY/included";
	my $pid = read_file("$conf/pid");
	my $answer = run_json([ @command, '--json', '--included-to', $included, '--config-file', "$included$conf/postgresql.conf" ],
		'the included one is taken', %options);
	is($answer->{reached}{state}, 'promoted', '… and the server runs');
	is(ask($major, $answer, 'SHOW config_file'), "$included$conf/postgresql.conf", '… with it');
	is(ask($major, $answer, 'SHOW data_directory'), $directory, '… on the restored directory');
	is(read_file("$conf/pid"), $pid, '… and leaves the files of the other server alone');
	stop_server($directory);
	stop_server($data);
	return;
}

# What was measured predicts the next one.
sub predicted {
	my ($major) = @_;
	my $repo = $source{$major}{repo};
	my $plan = run_json([ 'pitr-restore', $repo->options, '--dry-run', '--json' ], 'a plan after several restores');
	is($plan->{duration}{replays_measured}, 5, '… is predicted from the last five');
	is(scalar(grep { m{/restore/[0-9a-f]{16}-[0-9a-f]{8}$} } $repo->objects) > 5, 1, '… of those that were stored');
	my $stdout = run_ok([ 'pitr-restore', $repo->options, '--dry-run' ], '… for people');
	like($stdout, qr/^duration:     about .*; as measured by the last 5\)$/m, '… too');

	my $fresh = repo('fresh');
	my $node  = cluster('fresh', version => $major, repo => $fresh);
	run_ok([ 'pitr-basebackup', $fresh->options, $node->connection, '--checkpoint=fast' ], 'a backup that was never restored');
	$node->archive_all;
	$stdout = run_ok([ 'pitr-restore', $fresh->options, '--dry-run' ], '… has a plan');
	like($stdout, qr/^duration:     about .*; a guess: no restore has been measured yet\)$/m, '… with a guess that says so');

	# Where the credentials may not write, that is no failure.
	chmod 0500, grep { -d } glob($fresh->path . '/main/*/main'), $fresh->path . '/tmp';
	my $directory = place();
	my (undef, $stderr) = run_ok([ 'pitr-restore', $fresh->options, '-D', $directory, '--start' ], 'a repository that cannot be written',
		env => { PATH => $node->bin . ":$ENV{PATH}" });
	like($stderr, qr/how long this restore took was not stored: /, '… is worth a line');
	chmod 0700, grep { -d } glob($fresh->path . '/main/*/main'), $fresh->path . '/tmp';
	stop_server($directory);
	$node->stop;
	return;
}
