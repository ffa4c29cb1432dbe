# A PostgreSQL server of a test: PostgreSQL::Test::Cluster of the asked version, set up for archiving.
package Pitr::Cluster;

use strict;
use warnings;

use parent -norequire, 'PostgreSQL::Test::Cluster';
use PostgreSQL::Test::Cluster;
use Test::More ();

# The directory whose bin/ holds the programs of that major: the one of the tests, which has our extension, if it is
# there.
sub install_directory {
	my ($version) = @_;
	my @candidates = ("$Pitr::ROOT/build/pg/$version/usr/lib/postgresql/$version", "/usr/lib/postgresql/$version");
	for my $path (@candidates) {
		return $path if -x "$path/bin/postgres" && -x "$path/bin/pg_config";
	}
	die "PostgreSQL $version is not installed; run: tools/install-postgres.sh $version build/pg/$version\n";
}

# cluster(NAME, OPTIONS): initdb, and unless start => 0, started. Options:
#   version     => 15            major; the first of pg_versions() without it
#   repo        => $repo         archives there with pitr-archive; the repository is created (init => 0: it is not)
#   conf        => "text"        for postgresql.conf
#   initdb      => [...]         e.g. ['--wal-segsize=1']
#   log_commits => 1             keeps what an oracle needs (all WAL, commit timestamps)
sub make {
	my ($class, $name, %options) = @_;
	my $version = $options{version} // (Pitr::pg_versions())[0];
	my $self = $class->new($name, install_path => install_directory($version));
	$self->{pitr_version} = $version;
	$self->init(allows_streaming => 1, extra => [ '--data-checksums', @{ $options{initdb} // [] } ]);
	$self->append_conf('postgresql.conf', <<"SETTINGS");
# of Pitr::Cluster
log_statement = none
shared_buffers = 32MB
max_connections = 30
wal_log_hints = off
timezone = UTC
log_timezone = UTC
SETTINGS
	$self->append_conf('postgresql.conf', "wal_keep_size = 4GB\ntrack_commit_timestamp = on\n")
	  if $options{log_commits};
	if (my $repo = $options{repo}) {
		$repo->init($self) unless defined $options{init} && !$options{init};
		$self->archive_to($repo);
	}
	$self->append_conf('postgresql.conf', $options{conf}) if defined $options{conf};
	$self->start unless defined $options{start} && !$options{start};
	return $self;
}

sub version { return $_[0]{pitr_version} }
sub bin     { return $_[0]->install_path . '/bin' }

# Sets archive_command; takes effect with the next start.
sub archive_to {
	my ($self, $repo) = @_;
	$self->{pitr_repo} = $repo;
	my $command = "$Pitr::BIN/pitr-archive " . $repo->options . ' %p';
	$self->append_conf('postgresql.conf', "archive_mode = on\narchive_command = '$command'\n");
	return $self;
}

# The repository's credentials are the server's too: its archive_command runs with them.
sub _get_env {
	my ($self, @changes) = @_;
	return $self->SUPER::_get_env(%{ $self->{pitr_repo} ? $self->{pitr_repo}->env : {} }, @changes);
}

# What pitr-basebackup and psql need to get there.
sub connection {
	my ($self) = @_;
	return ('-h', $self->host, '-p', $self->port);
}

sub query {
	my ($self, $sql) = @_;
	return $self->safe_psql('postgres', $sql);
}

# Ends the current segment and returns its name. There is always something in it.
sub switch_wal {
	my ($self) = @_;
	my $name = $self->query(q{SELECT pg_logical_emit_message(false, 'test', 'x')})
	  && $self->query('SELECT pg_walfile_name(pg_current_wal_insert_lsn() - 1)');
	$self->query('SELECT pg_switch_wal()');
	return $name;
}

# Switches, and waits until the archiver has sent everything up to there; returns the segment's name.
sub archive_all {
	my ($self, $seconds) = @_;
	my $name   = $self->switch_wal;
	my $failed = $self->query('SELECT failed_count FROM pg_stat_archiver');
	my @waiting;
	# The archiver gives up for a minute after three failures: no need to wait that long to know.
	Pitr::wait_until(sub {
		@waiting = grep { $_ le "$name.ready" } $self->waiting_wal;
		return !@waiting || $self->query('SELECT failed_count FROM pg_stat_archiver') >= $failed + 3;
	}, $seconds // 120);
	!@waiting or die "the archiver did not come to $name; waiting: @waiting\n" . $self->log_tail . "\n";
	return $name;
}

# What the archiver has not sent yet: names as NAME.ready.
sub waiting_wal {
	my ($self) = @_;
	opendir my $directory, $self->data_dir . '/pg_wal/archive_status' or die "could not open archive_status: $!\n";
	return sort grep { /\.ready$/ } readdir $directory;
}

# --- restored ------------------------------------------------------------------------------------------------------

# restore(NAME, OPTIONS): pitr-restore into a new directory, started, and waited for until it reached its target.
#   source => $node              whose version it has (or version => N)
#   repo   => $repo
#   target => ['--target-xid', 750]
#   options => [...]             further options of pitr-restore
#   start  => 0                  only laid down; ->begin starts it
#   title  => text
# Returns undef when pitr-restore failed (that is a failed test).
sub restored {
	my ($class, $name, %options) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 2;
	my $version = $options{version} // $options{source}->version;
	my $self = $class->new($name, install_path => install_directory($version));
	$self->{pitr_version} = $version;
	$self->{pitr_repo}    = $options{repo};
	my ($status, $stdout, $stderr) = Pitr::run_program([ $self->restore_command(%options) ],
		env => { %{ $options{repo}->env }, PATH => $self->bin . ":$ENV{PATH}" }, timeout => 600);
	my $title = $options{title} // "pitr-restore @{ $options{target} // [] } lays down \"$name\"";
	Test::More::ok($status == 0, $title) or do {
		Test::More::diag("status $status\nstdout: $stdout\nstderr: $stderr");
		return;
	};
	$self->{pitr_restore_output} = $stdout . $stderr;
	$self->{pitr_has_foreign_address} = 1;
	$self->begin unless defined $options{start} && !$options{start};
	return $self;
}

sub restore_command {
	my ($self, %options) = @_;
	return ('pitr-restore', $options{repo}->options, @{ $options{target} // [] }, @{ $options{options} // [] },
		'-D', $self->data_dir);
}

sub restore_output { return $_[0]{pitr_restore_output} }

sub start {
	my ($self, @options) = @_;
	$self->own_address if delete $self->{pitr_has_foreign_address};
	return $self->SUPER::start(@options);
}

# A restored directory has the settings of its source: port and sockets must be this server's own. The last line wins.
# Not before the first start, so that until then the directory is what was restored.
sub own_address {
	my ($self) = @_;
	$self->append_conf('postgresql.conf',
		sprintf("port = %d\nunix_socket_directories = '%s'\nlisten_addresses = ''\n", $self->port, $self->host));
	return $self;
}

# Starts a restored server and waits until it stands at its target or runs. True when it does.
sub begin {
	my ($self, $seconds) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $is_there = $self->start(fail_ok => 1) && Pitr::wait_until(sub {
		# psql dies when the server is not, or no longer, there.
		my $state = eval { ($self->psql('postgres',
			'SELECT CASE WHEN pg_is_in_recovery() THEN pg_get_wal_replay_pause_state() ELSE \'running\' END'))[1] };
		defined $state && $state =~ /^(paused|running)$/ || $self->is_gone;
	}, $seconds // 180) && !$self->is_gone;
	Test::More::ok($is_there, 'server "' . $self->name . '" reaches its target')
	  or Test::More::diag($self->log_tail);
	return $is_there;
}

# The postmaster is no longer there (a FATAL of recovery ends it). Then ->stop has nothing to do either.
sub is_gone {
	my ($self) = @_;
	return 1 unless defined $self->{_pid};
	return 0 if -e $self->data_dir . '/postmaster.pid' && kill 0, $self->{_pid};
	$self->{_pid} = undef;
	return 1;
}

sub log_tail {
	my ($self, $lines) = @_;
	my @lines = split /\n/, -e $self->logfile ? Pitr::read_file($self->logfile) : '';
	splice @lines, 0, @lines - ($lines // 25) if @lines > ($lines // 25);
	return join "\n", @lines;
}

# Stopped in order, the server is asked what it committed while it can still say so.
sub stop {
	my ($self, $mode, @options) = @_;
	$self->{pitr_oracle}->commits if $self->{pitr_oracle} && !$self->is_gone && ($mode // 'fast') ne 'immediate';
	return $self->SUPER::stop($mode, @options);
}

# A server that died must not fail the test a second time when it ends.
sub teardown_node {
	my ($self) = @_;
	$self->stop('immediate', fail_ok => 1) unless $self->is_gone;
	return;
}

1;
