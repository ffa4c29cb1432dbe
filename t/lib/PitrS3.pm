# A real S3 server for tests: Ceph's radosgw with one monitor and one OSD, in a directory and on loopback ports of its
# own, over HTTPS with a certificate authority made for it, and over HTTP. Needs the Debian packages ceph-mon, ceph-osd,
# radosgw, ceph-common and openssl; not root. Everything is kept in memory and gone with the test.
#
#   my $s3 = PitrS3->start(dir => $tempdir);      # about 3 s
#   $s3->create_bucket('backups');
#   local %ENV = (%ENV, $s3->env);
#   ... $s3->endpoint, $s3->endpoint_http, $s3->ca_file, $s3->region, $s3->access_key, $s3->secret_key
#   $s3->stop;                                    # or when the test ends, however it ends
package PitrS3;

use strict;
use warnings;

use Digest::SHA qw(hmac_sha256 hmac_sha256_hex sha256_hex);
use File::Path qw(make_path);
use IO::Socket::INET;
use POSIX qw(strftime _exit);
use Time::HiRes qw(sleep time);

# radosgw and its kin lie in /usr/bin, but ceph-mon's helpers may not.
my $system_path = '/usr/sbin:/usr/bin:/sbin:/bin';
my %running;    # pid => name, of this process's servers
my $owner = $$;

# What is missing to run it, or ''.
sub missing
{
	my @missing = grep {
		my $program = $_;
		!grep { -x "$_/$program" } split /:/, $system_path
	} qw(ceph-mon ceph-osd radosgw radosgw-admin ceph monmaptool openssl setpriv);
	return join ' ', @missing;
}

sub start
{
	my ($class, %option) = @_;
	my $missing = missing();
	die "missing for the S3 server: $missing (Debian: ceph-mon ceph-osd radosgw ceph-common openssl)\n" if $missing;

	my $failure = '';
	for my $try (1 .. 3)
	{
		my $self = bless {
			dir        => "$option{dir}/s3-$try",
			access_key => random_word(20),
			secret_key => random_word(40),
			region     => 'default',
			pids       => [],
		}, $class;
		return $self if eval { $self->bring_up; 1 };
		$failure = $@;
		$self->stop;
	}
	die "could not start the S3 server: $failure";
}

sub endpoint      { "https://localhost:$_[0]{https_port}" }
sub endpoint_http { "http://localhost:$_[0]{http_port}" }
sub http_port     { $_[0]{http_port} }
sub ca_file       { "$_[0]{dir}/tls/ca.crt" }
sub region        { $_[0]{region} }
sub access_key    { $_[0]{access_key} }
sub secret_key    { $_[0]{secret_key} }

# What a program needs in its environment to find the server's keys, and nothing else that would lead it astray.
sub env
{
	my ($self) = @_;
	return (
		AWS_ACCESS_KEY_ID           => $self->access_key,
		AWS_SECRET_ACCESS_KEY       => $self->secret_key,
		AWS_SHARED_CREDENTIALS_FILE => '/dev/null',
		AWS_CONFIG_FILE             => '/dev/null',
		AWS_EC2_METADATA_DISABLED   => 'true',
		PITR_S3_ENDPOINT            => $self->endpoint,
		PITR_S3_REGION              => $self->region,
		PITR_S3_CA_FILE             => $self->ca_file,
	);
}

sub random_word
{
	my ($length) = @_;
	my @letters = ('a' .. 'z', 'A' .. 'Z', 0 .. 9);
	return join '', map { $letters[ rand @letters ] } 1 .. $length;
}

# A run of ports below the range the kernel gives out by itself, of which the ones we name are free.
sub choose_ports
{
	my ($self) = @_;
	for (1 .. 200)
	{
		my $base = 10000 + 64 * int rand 340;
		my @open = grep { defined } map {
			IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => $base + $_, Listen => 1)
		} 0 .. 2;
		next if @open != 3;
		@$self{qw(mon_port http_port https_port osd_port)} = ($base, $base + 1, $base + 2, $base + 3);
		return;
	}
	die "no free ports\n";
}

sub write_file
{
	my ($path, $text) = @_;
	open my $file, '>', $path or die "$path: $!\n";
	print $file $text;
	close $file or die "$path: $!\n";
}

# Runs a command to its end, with the output in a log; dies with the log's end.
sub run
{
	my ($self, @command) = @_;
	my $log = "$self->{dir}/log/commands.log";
	my $pid = fork // die "fork: $!\n";
	if ($pid == 0)
	{
		$ENV{PATH} = $system_path;
		$ENV{CEPH_CONF} = "$self->{dir}/ceph.conf";
		open STDIN,  '<',  '/dev/null';
		open STDOUT, '>>', $log;
		open STDERR, '>&', \*STDOUT;
		exec 'timeout', '60', @command or _exit(127);
	}
	waitpid $pid, 0;
	die "@command: status $?\n" . `tail -5 '$log'` if $? != 0;
}

# Starts a server that dies with us, even when we are killed.
sub spawn
{
	my ($self, $name, @command) = @_;
	my $pid = fork // die "fork: $!\n";
	if ($pid == 0)
	{
		$ENV{PATH} = $system_path;
		$ENV{CEPH_CONF} = "$self->{dir}/ceph.conf";
		delete @ENV{qw(http_proxy https_proxy all_proxy)};
		open STDIN,  '<', '/dev/null';
		open STDOUT, '>', "$self->{dir}/log/$name.out";
		open STDERR, '>&', \*STDOUT;
		exec 'setpriv', '--pdeathsig', 'KILL', @command or _exit(127);
	}
	$running{$pid} = $name;
	push @{ $self->{pids} }, $pid;
}

sub wait_until
{
	my ($self, $what, $check) = @_;
	my $deadline = time + 60;
	until ($check->())
	{
		for my $pid (@{ $self->{pids} })
		{
			next if waitpid($pid, POSIX::WNOHANG()) == 0;
			my $name = delete $running{$pid};
			die "$name died: " . `tail -5 '$self->{dir}/log/$name.out'` . "\n" if defined $name;
		}
		die "$what: not within 60 s\n" if time > $deadline;
		sleep 0.1;
	}
}

sub make_certificates
{
	my ($self) = @_;
	my $tls = "$self->{dir}/tls";
	my @ca = ('-x509', '-days', '2', '-subj', '/CN=test authority', '-keyout', "$tls/ca.key", '-out', "$tls/ca.crt");
	my @key = qw(req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes);
	write_file("$tls/server.ext", "subjectAltName = DNS:localhost, DNS:*.localhost, IP:127.0.0.1\n");
	$self->run('openssl', @key, @ca);
	$self->run('openssl', @key, '-subj', '/CN=localhost', '-keyout', "$tls/server.key", '-out', "$tls/server.csr");
	$self->run(qw(openssl x509 -req -days 2 -CAcreateserial), '-in', "$tls/server.csr", '-CA', "$tls/ca.crt",
		'-CAkey', "$tls/ca.key", '-extfile', "$tls/server.ext", '-out', "$tls/server.crt");
}

# Settings that matter beyond the obvious: ms_mon_client_mode = crc (without it radosgw cannot connect when
# authentication is off), tcp_nodelay (40 ms for every small answer otherwise), one replica, no balancing.
sub configuration
{
	my ($self, $fsid) = @_;
	my $dir = $self->{dir};
	my $osd_port_last = $self->{osd_port} + 50;
	my $quiet = join '', map { "debug_$_ = 0/0\n" } qw(ms osd rgw monc auth objecter rados throttle optracker mon paxos);
	return <<"END";
[global]
fsid = $fsid
mon_host = [v2:127.0.0.1:$self->{mon_port}/0]
auth_cluster_required = none
auth_service_required = none
auth_client_required = none
ms_mon_client_mode = crc
ms_mon_cluster_mode = crc
ms_mon_service_mode = crc
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
ms_bind_port_min = $self->{osd_port}
ms_bind_port_max = $osd_port_last
run_dir = $dir/run
crash_dir = $dir/run
admin_socket =
log_file = $dir/log/\$name.log
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 2
osd_pool_default_pgp_num = 2
osd_pool_default_pg_autoscale_mode = off
osd_crush_chooseleaf_type = 0
mon_allow_pool_size_one = true
mon_max_pg_per_osd = 1000
mon_osd_full_ratio = 0.99
mon_osd_nearfull_ratio = 0.98
mon_osd_backfillfull_ratio = 0.985
osd_failsafe_full_ratio = 0.995
mon_data_avail_crit = 1
mon_data_avail_warn = 1
$quiet
[mon]
mon_data = $dir/mon
paxos_propose_interval = 0.1
mon_cluster_log_to_file = false
[osd]
osd_data = $dir/osd
osd_objectstore = memstore
memstore_device_bytes = 8589934592
memstore_page_size = 65536
osd_fast_shutdown = false
osd_op_num_shards = 2
[client.rgw]
rgw_data = $dir/rgw
rgw_frontends = beast endpoint=127.0.0.1:$self->{http_port} tcp_nodelay=1 ssl_endpoint=127.0.0.1:$self->{https_port} ssl_certificate=$dir/tls/server.crt ssl_private_key=$dir/tls/server.key
rgw_dns_name = localhost
rgw_enable_apis = s3, admin
rgw_thread_pool_size = 64
rgw_run_sync_thread = false
rgw_enable_usage_log = false
rgw_enable_ops_log = false
rgw_gc_obj_min_wait = 20
rgw_gc_processor_period = 20
rgw_gc_processor_max_time = 20
rgw_crypt_require_ssl = false
END
}

sub new_uuid
{
	open my $file, '<', '/proc/sys/kernel/random/uuid' or die "uuid: $!\n";
	chomp(my $uuid = <$file>);
	return $uuid;
}

sub bring_up
{
	my ($self) = @_;
	my $dir = $self->{dir};
	my ($fsid, $osd_uuid) = (new_uuid(), new_uuid());

	make_path(map { "$dir/$_" } qw(mon osd rgw run log tls));
	$self->choose_ports;
	write_file("$dir/ceph.conf", $self->configuration($fsid));
	$self->make_certificates;

	my $monitor = "[v2:127.0.0.1:$self->{mon_port}]";
	$self->run('monmaptool', '--create', '--clobber', '--fsid', $fsid, '--addv', 'a', $monitor, "$dir/monmap");
	$self->run('ceph-mon', '--mkfs', '-i', 'a', '--monmap', "$dir/monmap");
	$self->spawn('mon', 'ceph-mon', '-f', '-i', 'a');
	$self->run('ceph', 'osd', 'new', $osd_uuid);
	$self->run('ceph-osd', '--mkfs', '-i', '0', '--osd-uuid', $osd_uuid);
	$self->spawn('osd', 'ceph-osd', '-f', '-i', '0');
	$self->run('radosgw-admin', '-n', 'client.rgw', 'user', 'create', '--uid=test', '--display-name=test',
		"--access-key=$self->{access_key}", "--secret-key=$self->{secret_key}");
	$self->spawn('rgw', 'radosgw', '-f', '-n', 'client.rgw');
	$self->wait_until('radosgw', sub { ($self->request('GET', '/'))[0] == 200 });
}

# One signed request over HTTP, for the tests' own needs: (status, headers and body as one text). 0: no answer.
sub request
{
	my ($self, $method, $path, $body) = @_;
	$body //= '';
	my $host = "localhost:$self->{http_port}";
	my $now  = strftime('%Y%m%dT%H%M%SZ', gmtime);
	my $day  = substr $now, 0, 8;
	my $hash = sha256_hex($body);
	my ($uri, $query) = split /\?/, $path, 2;
	my $names     = 'host;x-amz-content-sha256;x-amz-date';
	my $canonical = join "\n", $method, $uri, $query // '', "host:$host", "x-amz-content-sha256:$hash",
		"x-amz-date:$now", '', $names, $hash;
	my $scope = "$day/$self->{region}/s3/aws4_request";
	my $key   = "AWS4$self->{secret_key}";
	$key = hmac_sha256($_, $key) for $day, $self->{region}, 's3', 'aws4_request';
	my $signature = hmac_sha256_hex(join("\n", 'AWS4-HMAC-SHA256', $now, $scope, sha256_hex($canonical)), $key);

	my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $self->{http_port}, Timeout => 10)
		or return (0, '');
	print $socket join "\r\n", "$method $path HTTP/1.1", "Host: $host", "x-amz-date: $now",
		"x-amz-content-sha256: $hash", 'Content-Length: ' . length $body, 'Connection: close',
		"Authorization: AWS4-HMAC-SHA256 Credential=$self->{access_key}/$scope, SignedHeaders=$names, "
		. "Signature=$signature", '', $body;
	my $answer = do { local $/; <$socket> } // '';
	return ($answer =~ m{^HTTP/\S+ (\d+)} ? $1 : 0, $answer);
}

sub create_bucket
{
	my ($self, $bucket) = @_;
	my ($status, $answer) = $self->request('PUT', "/$bucket");
	die "could not create the bucket $bucket: $status\n$answer\n" if $status != 200;
	return $self;
}

sub stop
{
	my ($self) = @_;
	for my $pid (reverse @{ $self->{pids} })
	{
		next unless delete $running{$pid};
		kill 'KILL', $pid;
		waitpid $pid, 0;
	}
	$self->{pids} = [];
}

END
{
	if ($$ == $owner)
	{
		my $status = $?;
		for my $pid (keys %running)
		{
			kill 'KILL', $pid;
			waitpid $pid, 0;
		}
		$? = $status;
	}
}

1;
