# Runs Ceph's S3 server (t/lib/PitrS3.pm) until it is ended by SIGTERM.
#
#   perl bench/ceph.pl DIRECTORY BUCKET
#
# Prints shell assignments of ceph_port, ceph_ca_file, ceph_access_key, ceph_secret_key, then a line "ready".
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../t/lib";
use PitrS3;

die "usage: perl ceph.pl DIRECTORY BUCKET\n" if @ARGV != 2;
my ($directory, $bucket) = @ARGV;
my $s3 = PitrS3->start(dir => $directory);
$s3->create_bucket($bucket);
my ($port) = $s3->endpoint =~ /:(\d+)$/;
$| = 1;
printf "ceph_port=%s ceph_ca_file=%s ceph_access_key=%s ceph_secret_key=%s\nready\n",
	$port, $s3->ca_file, $s3->access_key, $s3->secret_key;
my $is_ended = 0;
local $SIG{TERM} = sub { $is_ended = 1 };
select undef, undef, undef, 0.2 until $is_ended;
$s3->stop;
