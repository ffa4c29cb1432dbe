# One recovery, watched from beside: the server in the foreground on a directory that was restored, until it is open, stands
# at its target, or is gone. Much cheaper than a Pitr::Cluster, for tests that start hundreds.
#
#   my $recovery = Pitr::Recovery->new(bin => $node->bin, data => $directory, env => {...});
#   $recovery->start;
#   $recovery->wait(sub {...}, qr/.../) 'gone', 'open' (read-write), 'paused', or 'seen' when the log has the pattern; the
#                                       code, if given, is called meanwhile, and may return such a word itself
#   $recovery->query($sql)   $recovery->log   $recovery->stop
#   $recovery->opened                   undef, or what says that it was once opened read-write or is about to be
#   $recovery->fetching($name)          the process that fetches that file for it, if one does
package Pitr::Recovery;

use strict;
use warnings;

use File::Temp ();
use POSIX ();
use Time::HiRes ();

use constant SECONDS_MAX => 120;

my %running;
my $owner = $$;

sub new {
	my ($class, %how) = @_;
	my $self = bless {%how}, $class;
	$self->{socket} //= File::Temp::tempdir(CLEANUP => 1, TMPDIR => 1);
	$self->{logfile} = "$self->{data}.log";
	unlink $self->{logfile};
	return $self;
}

# Settings that make it cheap, and none that recovery looks at. It archives nowhere: the directory is one of many copies.
sub start {
	my ($self, @settings) = @_;
	$self->{begin} = -s $self->{logfile} // 0;
	my @all = ("unix_socket_directories=$self->{socket}", 'listen_addresses=', 'port=5432', 'fsync=off', 'autovacuum=off',
		'shared_buffers=16MB', 'max_connections=30', 'archive_mode=off', 'logging_collector=off', 'log_destination=stderr',
		'wal_retrieve_retry_interval=100ms', @settings);
	my $pid = fork // die "could not fork: $!\n";
	if ($pid == 0) {
		%ENV = (%ENV, %{ $self->{env} // {} });
		open STDIN,  '<',  '/dev/null';
		open STDOUT, '>>', $self->{logfile} or POSIX::_exit(9);
		open STDERR, '>&', \*STDOUT;
		POSIX::setpgid(0, 0);
		exec 'setpriv', '--pdeathsig', 'QUIT', "$self->{bin}/postgres", '-D', $self->{data}, map { ('-c', $_) } @all
		  or POSIX::_exit(9);
	}
	$self->{pid} = $pid;
	$running{$pid} = 1;
	return $self;
}

# What the server has said since it was last started.
sub log {
	my ($self) = @_;
	open my $file, '<', $self->{logfile} or return '';
	seek $file, $self->{begin}, 0;
	local $/;
	return scalar <$file> // '';
}

sub is_gone {
	my ($self) = @_;
	return 1 unless defined $self->{pid};
	return 0 if waitpid($self->{pid}, POSIX::WNOHANG()) == 0;
	delete $running{ delete $self->{pid} };
	return 1;
}

sub wait {
	my ($self, $meanwhile, $pattern) = @_;
	my $deadline = Time::HiRes::time() + SECONDS_MAX;
	while (Time::HiRes::time() < $deadline) {
		return 'gone' if $self->is_gone;
		my $log = $self->log;
		return 'open' if $log =~ /database system is ready to accept connections/;
		return 'paused' if $log =~ /pausing at the end of recovery/;
		return 'seen' if defined $pattern && $log =~ $pattern;
		my $word = $meanwhile ? $meanwhile->() : undef;
		return $word if defined $word;
		Time::HiRes::sleep(0.02);
	}
	return 'nothing within ' . SECONDS_MAX . ' s';
}

# undef where the server does not answer.
sub query {
	my ($self, $sql) = @_;
	local $ENV{PGCONNECT_TIMEOUT} = 10;
	open my $psql, '-|', "$self->{bin}/psql", '-XAtq', '-v', 'ON_ERROR_STOP=1', '-h', $self->{socket}, '-p', 5432, '-d', 'postgres',
	  '-c', $sql or return;
	my $answer = do { local $/; <$psql> };
	return unless close $psql;
	chomp $answer if defined $answer;
	return $answer;
}

sub stop {
	my ($self) = @_;
	return if $self->is_gone;
	kill 'QUIT', $self->{pid};
	waitpid $self->{pid}, 0;
	delete $running{ delete $self->{pid} };
	return;
}

# Asked of what a promotion leaves behind, whatever the log says. Not while it runs.
sub opened {
	my ($self) = @_;
	return "the log says: $&" if $self->log =~ /selected new timeline ID|archive recovery complete|ready to accept connections/;
	return 'recovery.signal is gone' if !-e "$self->{data}/recovery.signal";
	my $control = `'$self->{bin}/pg_controldata' -D '$self->{data}'`;
	my ($state) = $control =~ /^Database cluster state:\s*(.*)$/m;
	return "pg_controldata says: $state" if $state !~ /recovery$/ && $state ne 'in production';
	return "pg_controldata says: $state" if $state eq 'in production' && !-e "$self->{data}/backup_label";
	my ($timeline) = $control =~ /^Latest checkpoint's TimeLineID:\s*(\d+)$/m;
	my @histories = map { hex } map { m{/([0-9A-F]{8})\.history$} } glob "$self->{data}/pg_wal/*.history";
	return "there is a timeline of its own, of @histories" if grep { $_ > $self->{timeline} } $timeline, @histories;
	return;
}

# restore_command runs in the data directory; whoever fetches has the file's name among its arguments.
sub fetching {
	my ($self, $name) = @_;
	for my $process (glob '/proc/[0-9]*') {
		next if (readlink("$process/cwd") // '') ne $self->{data};
		open my $file, '<', "$process/cmdline" or next;
		my @words = split /\0/, do { local $/; <$file> } // '';
		return $process =~ s{.*/}{}r if @words > 1 && $words[0] =~ /pitr-fetch$/ && grep { $_ eq $name } @words;
	}
	return;
}

END {
	if ($$ == $owner) {
		my $status = $?;
		for my $pid (keys %running) { kill 'QUIT', $pid; waitpid $pid, 0 }
		$? = $status;
	}
}

1;
