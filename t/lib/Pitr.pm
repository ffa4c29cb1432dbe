# The language the tests are written in: repositories, clusters, programs, restores, damage.
#
#   use Pitr;
#   my $repo = repo('main');
#   my $node = cluster('source', version => 17, repo => $repo);
#   run_ok(['pitr-basebackup', $repo->options, $node->connection, '--checkpoint=fast'], 'a backup is taken');
#   my $copy = restore('copy', source => $node, repo => $repo, target => ['--target-time', $time]);
#   is($copy->safe_psql('postgres', 'SELECT 1'), 1);
#   done_testing();
#
# Builds on PostgreSQL's own PostgreSQL::Test::Cluster, which starts servers on private Unix sockets and stops them when
# the test ends. Programs come from $TEST_PITR_BIN (build/bin), so a test runs the same on the sanitizer build.
# A test says "# sanitizer: yes" in its first lines when it is to be run on that build too.
package Pitr;

use strict;
use warnings;

use Cwd ();
use File::Basename ();
use File::Path ();
use File::Temp ();

our ($ROOT, $BIN, $TEST_DIRECTORY);

# PostgreSQL's modules read these when they are loaded.
BEGIN {
	$ROOT = Cwd::realpath(File::Basename::dirname(__FILE__) . '/../..');
	$BIN  = $ENV{TEST_PITR_BIN} // "$ROOT/build/bin";
	die "PostgreSQL does not run as root; start this with: tools/run-tests.sh $0\n" if $> == 0;

	my $name = File::Basename::basename($0, '.pl', '.t');
	my $base = $ENV{TEST_PITR_DIRECTORY};
	$TEST_DIRECTORY =
	  defined $base
	  ? File::Temp::tempdir("$name-XXXX", DIR => $base)
	  : File::Temp::tempdir("pitr-$name-XXXX", TMPDIR => 1);
	$ENV{TESTDIR} = $TEST_DIRECTORY;
	$ENV{PG_TEST_PORT_DIR} //= ($base // $TEST_DIRECTORY) . '/ports';
	$ENV{PG_REGRESS}       //= '/usr/lib/postgresql/15/lib/pgxs/src/test/regress/pg_regress';
	$ENV{PATH}    = "$BIN:$ENV{PATH}";
	$ENV{TZ}      = 'UTC' unless exists $ENV{TZ};
	$ENV{HOME}    = $TEST_DIRECTORY;                 # no .pgpass, no .aws of the user
	delete @ENV{ grep { /^(PITR_|AWS_)/ } keys %ENV };
	unshift @INC, '/usr/lib/postgresql/15/lib/pgxs/src/test/perl';
}

use Exporter 'import';
use IPC::Run ();
use POSIX ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils ();
use Test::More;
use Time::HiRes ();

use Pitr::Cluster;
use Pitr::Oracle;
use Pitr::Repo;

our @EXPORT = (
	@Test::More::EXPORT,
	qw(pg_versions newest_version is_full_run directory write_file read_file
	  repo cluster restore oracle is_restored_to
	  run_program run_ok run_fails run_json
	  damage kill_at_every_syscall wait_until)
);

# One hanging test must not hold up the others. Perl ends on these without END blocks otherwise, and servers stay.
my $seconds_max = $ENV{TEST_PITR_SECONDS_MAX} // 900;
$SIG{ALRM} = sub { die "this test took longer than $seconds_max seconds\n" };
$SIG{INT}  = $SIG{TERM} = $SIG{HUP} = sub { die "stopped by signal $_[0]\n" };
alarm $seconds_max;

# A server that does not start fails its own test, not the whole run.
{
	no warnings 'redefine';
	*PostgreSQL::Test::Cluster::BAIL_OUT = *PostgreSQL::Test::Utils::BAIL_OUT = sub { die "$_[0]\n" };
}

END {
	my $status = $?;
	alarm 0;
	if ($status == 0 && PostgreSQL::Test::Utils::all_tests_passing() && !$ENV{PG_TEST_NOCLEAN}) {
		chdir '/';
		File::Path::remove_tree($TEST_DIRECTORY, { safe => 0, error => \my $ignored });
	}
	$? = $status;
}

# --- what is tested ----------------------------------------------------------------------------------------------

# The PostgreSQL majors to test. One that is not installed fails; it is never skipped.
sub pg_versions {
	return split ' ', $ENV{TEST_PITR_VERSIONS} // '15 17 18';
}

sub newest_version {
	return (sort { $a <=> $b } pg_versions())[-1];
}

# True in `make check-full`: every combination instead of every pair.
sub is_full_run {
	return $ENV{TEST_PITR_FULL} ? 1 : 0;
}

# --- files --------------------------------------------------------------------------------------------------------

# A new empty directory of this test.
sub directory {
	my ($name) = @_;
	my $path = "$TEST_DIRECTORY/$name";
	File::Path::make_path($path, { mode => 0700 });
	return $path;
}

sub write_file {
	my ($path, $content) = @_;
	open my $file, '>:raw', $path or die "could not create \"$path\": $!\n";
	print $file $content;
	close $file or die "could not write \"$path\": $!\n";
	return $path;
}

sub read_file {
	my ($path) = @_;
	open my $file, '<:raw', $path or die "could not open \"$path\": $!\n";
	local $/;
	return scalar <$file> // '';
}

# Harms one file; returns its path. The kinds:
#   flip      one bit, at offset => N (the middle without it)
#   truncate  cut to size => N (half without it)
#   extend    appends size => N bytes (1)
#   zero      size => N bytes (512) of zeros at offset => N (the middle)
#   empty     nothing is left
#   remove    the file is gone
#   swap      exchanges content with other => PATH
sub damage {
	my ($path, $kind, %how) = @_;
	chmod 0600, grep { defined } $path, $how{other};
	return $path if $kind eq 'remove' && (unlink $path or die "could not remove \"$path\": $!\n");
	my $content = read_file($path);
	my $offset  = $how{offset} // int(length($content) / 2);
	$offset += length $content if $offset < 0;
	if    ($kind eq 'flip')     { substr($content, $offset, 1) ^= chr($how{mask} // 1) }
	elsif ($kind eq 'truncate') { $content = substr($content, 0, $how{size} // $offset) }
	elsif ($kind eq 'extend')   { $content .= "\0" x ($how{size} // 1) }
	elsif ($kind eq 'zero')     { substr($content, $offset, $how{size} // 512) = "\0" x ($how{size} // 512) }
	elsif ($kind eq 'empty')    { $content = '' }
	elsif ($kind eq 'swap') {
		my $other = read_file($how{other});
		write_file($how{other}, $content);
		$content = $other;
	}
	else { die "unknown damage \"$kind\"\n" }
	return write_file($path, $content);
}

# --- programs -----------------------------------------------------------------------------------------------------

# Runs a command and returns (status, stdout, stderr). The status is the exit status; minus the number of the signal
# when one ended it. Options: env => {NAME => value or undef}, stdin => text, timeout => seconds, in => directory.
sub run_program {
	my ($command, %options) = @_;
	my ($stdout, $stderr) = ('', '');
	my @words   = map { "$_" } @$command;
	my $timeout = $options{timeout} // 180;
	local %ENV = %ENV;
	while (my ($name, $value) = each %{ $options{env} // {} }) {
		if (defined $value) { $ENV{$name} = $value }
		else                { delete $ENV{$name} }
	}
	_traced_environment(@words);
	# IPC::Run remembers where it found a program; two builds in one test need the full path.
	$words[0] = "$BIN/$words[0]" if $words[0] =~ /^pitr-/;
	print '# ', join(' ', map { /^[\w\/.:=@%+,-]+$/ ? $_ : "'$_'" } @words), "\n";
	my $status = eval {
		IPC::Run::run(\@words, '<', \($options{stdin} // ''), '>', \$stdout, '2>', \$stderr,
			($options{in} ? (init => sub { chdir $options{in} or die "could not enter \"$options{in}\": $!\n" }) : ()),
			IPC::Run::timeout($timeout));
		$?;
	};
	if (!defined $status) {
		die $@ unless $@ =~ /^IPC::Run: timeout/;
		fail("\"$words[0]\" ends within $timeout seconds");
		return (-9, $stdout, $stderr);
	}
	$status = $status & 127 ? -($status & 127) : $status >> 8;
	print "# status $status\n", map({ "# > $_\n" } split /\n/, substr($stdout, 0, 4000)),
	  map({ "# ! $_\n" } split /\n/, $stderr);
	fail("\"$words[0]\" runs clean under the sanitizers: $&")
	  if $stderr =~ /^.*(?:ERROR: \w+Sanitizer|runtime error:).*$/m || ($status == 201 && $ENV{TEST_PITR_SANITIZE});
	return ($status, $stdout, $stderr);
}

# LeakSanitizer cannot work in a process that is traced, and says so with a failure.
sub _traced_environment {
	my ($program) = @_;
	$ENV{ASAN_OPTIONS} = join ':', $ENV{ASAN_OPTIONS} // (), 'detect_leaks=0' if $program eq 'strace';
	return;
}

# The command succeeds; returns what it printed.
sub run_ok {
	my ($command, $title, %options) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($status, $stdout, $stderr) = run_program($command, %options);
	ok($status == 0, $title // "@$command") or diag("status $status\nstdout: $stdout\nstderr: $stderr");
	return wantarray ? ($stdout, $stderr) : $stdout;
}

# The command ends with exactly this status and says something like this on stderr; returns stderr.
sub run_fails {
	my ($command, $status_expected, $pattern, $title, %options) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($status, $stdout, $stderr) = run_program($command, %options);
	ok($status == $status_expected && $stderr =~ $pattern, $title // "@$command")
	  or diag("status $status, expected $status_expected\nstdout: $stdout\nstderr: $stderr\nexpected: $pattern");
	return $stderr;
}

# The command succeeds and prints JSON; returns it decoded.
sub run_json {
	my ($command, $title, %options) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	require JSON;
	my $stdout  = run_ok($command, $title, %options);
	my $decoded = eval { JSON::decode_json($stdout) };
	fail("\"@$command\" prints JSON: $@") unless defined $decoded;
	return $decoded;
}

# Polls until the condition is true; false after the deadline (60 s).
sub wait_until {
	my ($condition, $seconds) = @_;
	my $deadline = Time::HiRes::time() + ($seconds // 60);
	until ($condition->()) {
		return 0 if Time::HiRes::time() > $deadline;
		Time::HiRes::sleep(0.05);
	}
	return 1;
}

# --- nouns --------------------------------------------------------------------------------------------------------

# See Pitr/Repo.pm, Pitr/Cluster.pm, Pitr/Oracle.pm for what they take and can do.
sub repo    { return Pitr::Repo->new(@_) }
sub cluster { return Pitr::Cluster->make(@_) }
sub restore { return Pitr::Cluster->restored(@_) }
sub oracle  { return Pitr::Oracle->new(@_) }

# The restored server holds exactly the rows that were committed up to the target, with their content.
# Target: see Pitr::Oracle::expected.
sub is_restored_to {
	my ($copy, $oracle, $target, $title) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $expected = join "\n", $oracle->expected(%$target);
	my $seen     = $copy->safe_psql('postgres', Pitr::Oracle::rows_query());
	return pass($title) if $seen eq $expected;
	my %expected = map { $_ => 1 } split /\n/, $expected;
	my %seen     = map { $_ => 1 } split /\n/, $seen;
	my @missing  = grep { !$seen{$_} } sort keys %expected;
	my @surplus  = grep { !$expected{$_} } sort keys %seen;
	fail($title);
	diag(sprintf "%d rows expected, %d seen; missing %d: %s; surplus %d: %s",
		scalar(keys %expected), scalar(keys %seen),
		scalar(@missing), "@missing[0 .. ($#missing < 4 ? $#missing : 4)]",
		scalar(@surplus), "@surplus[0 .. ($#surplus < 4 ? $#surplus : 4)]");
	return 0;
}

# --- kill at every system call -------------------------------------------------------------------------------------

# Runs the command once clean, then once for each system call it made, killed (SIGKILL) as it enters that call.
#   command => [...]            what to run
#   env     => {...}            for run_program
#   before  => sub {}           lays out the state, before every run
#   after   => sub {}           called as after->($killed, $point); returns undef or what is wrong
#   from    => qr/.../          ignore calls before the first whose strace line matches (the loader's, say)
#   every   => N                only each Nth point
#   may_survive => FRACTION     of the points that a run need not reach (0.1): threads and polling do not repeat exactly
# strace counts `when=` per system call name and thread, so each point is a name and how many of that name came before.
# (--seccomp-bpf would be faster, but strace 6.1 then delivers no signal.)
sub kill_at_every_syscall {
	my ($title, %options) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my @command = @{ $options{command} };
	$command[0] = "$BIN/$command[0]" if $command[0] =~ /^pitr-/;
	my $started = Time::HiRes::time();
	my $trace   = "$TEST_DIRECTORY/strace";
	my $stop    = sub { return fail("$title: $_[0]") && 0 };

	$options{before}->() if $options{before};
	my ($status, undef, $stderr) =
	  run_program([ 'strace', '-f', '-qq', '-o', $trace, '-e', 'signal=none', @command ], env => $options{env});
	return $stop->("the run without a kill ended with $status: $stderr") if $status != 0;
	my $wrong = $options{after} ? $options{after}->(0, 'no kill') : undef;
	return $stop->("after the run without a kill: $wrong") if defined $wrong;

	my @points = _syscall_points($trace, $options{from});
	my $every  = $options{every} // 1;
	@points = @points[ grep { $_ % $every == 0 } 0 .. $#points ];
	my ($killed, $survived, @wrong) = (0, 0);
	for my $point (@points) {
		my ($name, $when) = @$point;
		$options{before}->() if $options{before};
		my $result = _run_quietly($options{env}, 'strace', '-f', '-qq', '-o', '/dev/null',
			'-e', "trace=$name", '-e', "inject=$name:signal=KILL:when=$when", @command);
		my $was_killed = ($result & 127) == 9 || $result >> 8 == 137;
		if   ($was_killed) { $killed++ }
		else               { $survived++ }
		push @wrong, "$name #$when: ended with status $result" if !$was_killed && $result != 0;
		$wrong = $options{after} ? $options{after}->($was_killed, "$name #$when") : undef;
		push @wrong, "$name #$when: $wrong" if defined $wrong;
	}
	note(sprintf '%s: killed at %d of %d system calls (%d runs were over before) in %.1f s',
		$title, $killed, scalar @points, $survived, Time::HiRes::time() - $started);
	ok(!@wrong && $killed > 0 && $survived <= @points * ($options{may_survive} // 0.1), "$title (killed at $killed system calls)")
	  or diag("$killed killed, $survived not\n" . join "\n", @wrong[0 .. ($#wrong < 9 ? $#wrong : 9)]);
	return !@wrong;
}

# (name, how many of that name this is in its thread) of each call, in order; the same point of two threads once.
sub _syscall_points {
	my ($trace, $from) = @_;
	my (%count, %seen, @points);
	my $is_counted = !defined $from;
	open my $file, '<', $trace or die "could not open \"$trace\": $!\n";
	while (<$file>) {
		my ($pid, $name) = /^(\d+)\s+(\w+)\(/ or next;
		my $when = ++$count{$pid}{$name};
		next if $. == 1;    # the execve of the command itself: nothing of it has run yet
		next if $name eq 'rt_sigreturn';    # the return from a handler: strace does not kill there
		$is_counted ||= $_ =~ $from;
		push @points, [ $name, $when ] if $is_counted && !$seen{"$name $when"}++;
	}
	close $file;
	return @points;
}

# As run_program, without IPC::Run's 10 ms per run and without a log. Returns the wait status.
sub _run_quietly {
	my ($env, @command) = @_;
	my $pid = fork // die "could not fork: $!\n";
	if ($pid == 0) {
		while (my ($name, $value) = each %{ $env // {} }) { $ENV{$name} = $value }
		_traced_environment(@command);
		open STDIN,  '<', '/dev/null';
		open STDOUT, '>', '/dev/null';
		open STDERR, '>', '/dev/null';
		exec { $command[0] } @command or POSIX::_exit(127);
	}
	waitpid $pid, 0;
	return $?;
}

1;
