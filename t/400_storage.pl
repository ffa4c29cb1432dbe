# The contract of lib/storage/storage.h, against a directory and against a real S3 server over HTTPS.
# sanitizer: yes
use strict;
use warnings;

use File::Basename qw(dirname);
use File::Temp qw(tempdir);
use FindBin;
use Test::More;
use lib "$FindBin::RealBin/lib";
use PitrS3;

my $build = dirname($ENV{PITR_BIN} // "$FindBin::RealBin/../build/bin");
my $directory = tempdir(CLEANUP => 1);
my $s3 = PitrS3->start(dir => $directory);
$s3->create_bucket('contract');
%ENV = (%ENV, $s3->env, PITR_REPO => 's3://contract/tool/x');

# Runs storage_tool with changes to the environment (undef removes): (exit status, stdout, stderr).
sub tool
{
	my ($change, $input, @arguments) = @_;
	local %ENV = %ENV;
	for my $name (keys %$change)
	{
		if (defined $change->{$name}) { $ENV{$name} = $change->{$name} }
		else                          { delete $ENV{$name} }
	}
	open my $file, '>', "$directory/stdin" or die;
	print $file $input;
	close $file;
	system "$build/tools/storage_tool @arguments < $directory/stdin > $directory/stdout 2> $directory/stderr";
	return ($? >> 8, map { open my $f, '<', "$directory/$_" or die; local $/; scalar(<$f>) // '' } qw(stdout stderr));
}

sub tool_ok
{
	my ($change, $input, $expected, $title, @arguments) = @_;
	my ($status, $out, $err) = tool($change, $input, @arguments);
	ok($status == 0 && $out eq $expected, $title) or diag "exit $status\n$out$err";
}

sub tool_fails
{
	my ($change, $expected, $title, @arguments) = @_;
	my ($status, $out, $err) = tool($change, 'x', @arguments);
	ok($status == 1 && $err =~ $expected, $title) or diag "exit $status\n$out$err";
	return $err;
}

# The suite says "not ok" and a number of its own; here each of its lines is one of ours.
{
	local %ENV = (
		%ENV,
		TEST_PITR_S3_ENDPOINT => $s3->endpoint,
		TEST_PITR_S3_BUCKET   => 'contract',
		TEST_PITR_S3_CA_FILE  => $s3->ca_file,
		TEST_PITR_S3_REGION   => $s3->region,
	);
	my @lines = `$build/unit/storage_contract 2>&1`;
	is($?, 0, 'the contract holds') or diag grep { !/^ok/ } @lines;
	cmp_ok(scalar(grep { /^ok .* directory: / } @lines), '>', 50, 'it was tried on a directory');
	cmp_ok(scalar(grep { /^ok .* S3: / } @lines),        '>', 50, 'it was tried on S3');
}

# Ways to reach the same object.
tool_ok({}, 'content', '', 'put over HTTPS', 'put', 'a');
my %http = (PITR_S3_ENDPOINT => $s3->endpoint_http, PITR_S3_CA_FILE => undef);
(my $number = $s3->endpoint_http) =~ s/localhost/127.0.0.1/;
my ($port) = $s3->endpoint =~ /:(\d+)$/;
tool_ok({%http}, '', 'content', 'get over HTTP', 'get', 'a');
tool_ok({%http, PITR_S3_ENDPOINT => $number}, '', 'content', 'get from a numeric address', 'get', 'a');
tool_ok({PITR_S3_ENDPOINT => $s3->endpoint . '/'}, '', 'content', 'an endpoint may end in a slash', 'get', 'a');
tool_ok({PITR_S3_ENDPOINT => "localhost:$port"}, '', 'content', 'an endpoint without a scheme is HTTPS', 'get', 'a');
tool_ok({PITR_S3_ENDPOINT => undef, AWS_ENDPOINT_URL => $s3->endpoint}, '', 'content', 'AWS_ENDPOINT_URL', 'get', 'a');
tool_ok({PITR_S3_ENDPOINT => undef, AWS_ENDPOINT_URL_S3 => $s3->endpoint, AWS_ENDPOINT_URL => 'http://localhost:1'},
	'', 'content', 'AWS_ENDPOINT_URL_S3 goes before it', 'get', 'a');
SKIP:
{
	skip 'no name "contract.localhost" here', 1 unless gethostbyname 'contract.localhost';
	tool_ok({PITR_S3_ADDRESSING => 'virtual'}, '', 'content', 'virtual-hosted addressing', 'get', 'a');
}
tool_ok({PITR_REPO => 's3://contract'}, '', "tool/x/a 7\n", 'a repository may be a whole bucket', 'list', 'tool/');
tool_ok({PITR_REPO => 's3://contract/tool/x/'}, '', "a 7\n", 'a slash at the end changes nothing', 'list');
tool_ok({PITR_REPO => 's3://contract/tool'}, '', "x/a 7\n", 'keys are below the prefix', 'list');
tool_ok({}, '', 'nte', 'a range', 'range', 'a', 2, 4 - 1);

# Keys from a profile.
open my $file, '>', "$directory/credentials" or die;
printf $file "[default]\naws_access_key_id = wrong\naws_secret_access_key = wrong\n\n[other]\n"
	. "aws_access_key_id = %s\naws_secret_access_key=%s\n", $s3->access_key, $s3->secret_key;
close $file;
open $file, '>', "$directory/config" or die;
printf $file "[profile other]\nendpoint_url = %s\nregion = default\ns3 =\n  addressing_style = path\n", $s3->endpoint;
close $file;
my %profile = (AWS_ACCESS_KEY_ID => undef, AWS_SECRET_ACCESS_KEY => undef, AWS_PROFILE => 'other',
	AWS_SHARED_CREDENTIALS_FILE => "$directory/credentials", AWS_CONFIG_FILE => "$directory/config");
tool_ok({%profile, PITR_S3_ENDPOINT => undef, PITR_S3_REGION => undef}, '', 'content',
	'keys, endpoint and region from a profile', 'get', 'a');
tool_fails({%profile, AWS_PROFILE => undef}, qr/^DENIED: .*InvalidAccessKeyId/, 'the default profile is another', 'get', 'a');
tool_fails({%profile, AWS_PROFILE => 'none'}, qr/^USAGE: .*no AWS profile "none"/, 'a profile that is not there', 'get', 'a');
tool_fails({AWS_ACCESS_KEY_ID => undef, AWS_SECRET_ACCESS_KEY => undef}, qr/^USAGE: there are no S3 keys.*\nhint: /,
	'no keys at all', 'get', 'a');
my $said = tool_fails({AWS_SECRET_ACCESS_KEY => 'hush-hush'}, qr/^DENIED: .*SignatureDoesNotMatch.*\nhint: Check the S3 keys/,
	'a wrong secret', 'get', 'a');
unlike($said, qr/hush/, 'a secret is not part of a message');

# What the server refuses, as sentences.
tool_fails({}, qr{^EXISTS: there is an object "s3://contract/tool/x/a" already}, 'a taken name', 'put', 'a');
tool_fails({}, qr{^NOT_FOUND: there is no object "s3://contract/tool/x/b"}, 'an absent object', 'get', 'b');
tool_fails({PITR_REPO => 's3://nobody/x'}, qr/^USAGE: there is no bucket "nobody" at "localhost:/, "an absent bucket: $_", $_, 'a')
	for qw(get put list remove create sync);
tool_fails({PITR_S3_STORAGE_CLASS => 'NONSENSE'}, qr/^USAGE: .*the server answered 400 Invalid/, 'an unknown storage class', 'put', 'c');
tool_ok({PITR_S3_STORAGE_CLASS => 'STANDARD'}, 'x', '', 'a storage class', 'put', 'c');
tool_ok({PITR_S3_CREATE_ONLY => 'off'}, 'x', '', 'put without conditions', 'put', 'd');
tool_fails({PITR_S3_CREATE_ONLY => 'off'}, qr/^EXISTS: /, '... still does not replace', 'put', 'd');
tool_fails({PITR_S3_ADDRESSING => 'sideways'}, qr/^USAGE: s3-addressing is "path" or "virtual"/, 'a bad addressing', 'get', 'a');
tool_fails({PITR_S3_KMS_KEY_ID => 'k'}, qr/^USAGE: s3-kms-key-id needs s3-sse/, 'a key for no encryption', 'put', 'e');

# TLS.
tool_fails({PITR_S3_CA_FILE => undef}, qr/^UNREACHABLE: .*certificate of "localhost:$port" is not trusted.*\nhint: .*s3-ca-file/,
	'an unknown authority', 'get', 'a');
tool_fails({PITR_S3_CA_FILE => "$directory/none"}, qr/^USAGE: .*could not read the certificates/, 'no such CA file', 'get', 'a');
tool_fails({PITR_S3_ENDPOINT => "http://localhost:$port"}, qr/^UNREACHABLE: |^USAGE: /, 'HTTP to an HTTPS port', 'get', 'a');
tool_fails({PITR_S3_ENDPOINT => 'https://localhost:1', TEST_RETRY_FOR_MS => 1000},
	qr/^UNREACHABLE: .*no answer from "localhost:1".*\nhint: It was tried \d+ times/, 'nobody listens', 'get', 'a');
tool_fails({PITR_S3_ENDPOINT => 'https://no-such-host.invalid', TEST_RETRY_FOR_MS => 500}, qr/^UNREACHABLE: .*resolve host/,
	'no such host', 'get', 'a');

$s3->stop;
tool_fails({TEST_RETRY_FOR_MS => 1000}, qr/^UNREACHABLE: could not read "s3:.*no answer/, 'a server that has gone', 'get', 'a');
done_testing();
