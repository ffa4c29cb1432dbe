# What goes wrong between us and an S3 server, as a table: harm -> what the caller is told.
use strict;
use warnings;

use File::Basename qw(dirname);
use File::Temp qw(tempdir);
use FindBin;
use Test::More;
use Time::HiRes qw(time);
use lib "$FindBin::RealBin/lib";
use PitrFault;
use PitrS3;

my $build = dirname($ENV{PITR_BIN} // "$FindBin::RealBin/../build/bin");
my $directory = tempdir(CLEANUP => 1);
my $s3 = PitrS3->start(dir => $directory);
$s3->create_bucket('faults');
my $fault = PitrFault->start($s3->http_port);
%ENV = (%ENV, $s3->env, PITR_REPO => 's3://faults/x', PITR_S3_ENDPOINT => $fault->endpoint, TEST_RETRY_FOR_MS => 3000);

my $content = join '', map { sprintf "%07d\n", $_ } 1 .. 2000;

# Runs storage_tool: (exit status, stdout, stderr, seconds).
sub tool
{
	my ($change, $input, @arguments) = @_;
	local %ENV = (%ENV, %$change);
	open my $file, '>', "$directory/stdin" or die;
	print $file $input;
	close $file;
	my $begin = time;
	system "timeout 60 $build/tools/storage_tool @arguments < $directory/stdin > $directory/stdout 2> $directory/stderr";
	return ($? >> 8, map({ open my $f, '<', "$directory/$_" or die; local $/; scalar(<$f>) // '' } qw(stdout stderr)),
		time - $begin);
}

sub error_body
{
	my ($code, $message, %more) = @_;
	my $text = defined $message ? "<Message>$message</Message>" : '';
	$text .= "<$_>$more{$_}</$_>" for sort keys %more;
	return "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>$code</Code>$text<RequestId>4F1</RequestId></Error>";
}

sub says
{
	my ($status, $code, %more) = @_;
	my $message = delete $more{message};
	return { do => 'answer', status => $status, body => error_body($code, $message), %more };
}

tool({}, $content, 'put', 'object');
tool({}, $content, 'put', "list/$_") for 'a' .. 'd';

# Harm on the way of a get of "object" (or another command): [title, orders, command, expected, environment]
# expected: 'content' (the whole of it arrives), or a pattern of what is said on stderr.
my $whole = 'content';
my @cases = (
	# What passes.
	[ '503 SlowDown once', [ says(503, 'SlowDown') ], 'get object', $whole ],
	[ '503 without a body', [ { do => 'answer', status => 503 } ], 'get object', $whole ],
	[ '503 in HTML', [ { do => 'answer', status => 503, body => '<html>later' } ], 'get object', $whole ],
	[ '500, 502, 504, 408, 409, 429 in a row', [ map { says($_, 'InternalError') } 500, 502, 504, 408, 409, 429 ],
		'get object', $whole, { TEST_RETRY_FOR_MS => 20000 } ],
	[ 'a closed connection', [ { do => 'close' } ], 'get object', $whole ],
	[ 'a body cut at the start', [ { do => 'cut', size => 0 } ], 'get object', $whole ],
	[ 'a body cut in the middle', [ { do => 'cut', size => 7000 } ], 'get object', $whole ],
	[ 'a body cut before its last byte', [ { do => 'cut', size => 15999 } ], 'get object', $whole ],
	[ 'a body cut three times', [ { do => 'cut', size => 9000, times => 3 } ], 'get object', $whole ],
	[ 'a hanging server, once', [ { do => 'hang' } ], 'get object', $whole ],
	[ 'a trickling server, once', [ { do => 'trickle' } ], 'get object', $whole ],
	[ 'keys that expired, once', [ says(400, 'ExpiredToken', message => 'The provided token has expired.') ], 'get object', $whole ],
	[ 'a request that arrived damaged', [ says(400, 'XAmzContentSHA256Mismatch') ], 'put passes-1', '' ],
	[ 'a put whose connection is closed', [ { do => 'close' } ], 'put passes-2', '' ],
	[ 'a put whose answer is lost', [ { do => 'lose' } ], 'put passes-3', '' ],
	[ 'a put whose answer is lost twice', [ { do => 'lose', times => 2 } ], 'put passes-4', '' ],
	[ 'a put with 500 although it was done', [ { do => 'lose' }, says(500, 'InternalError') ], 'put passes-5', '' ],
	[ 'a put with 409 ConditionalRequestConflict', [ says(409, 'ConditionalRequestConflict') ], 'put passes-6', '' ],
	[ 'a put with 200 and an error in it', [ says(200, 'InternalError') ], 'put passes-7', '' ],
	[ 'a list of which the answer is cut', [ { do => 'cut', size => 50 } ], 'list list/', "list/a 16000\nlist/b 16000\nlist/c 16000\nlist/d 16000\n" ],
	[ 'a remove whose answer is lost', [ { do => 'lose' } ], 'remove passes-1', '' ],

	# What does not pass.
	[ '503 for ever', [ says(503, 'SlowDown', message => 'Please reduce your request rate.', times => 0) ], 'get object',
		qr/^UNREACHABLE: could not read "s3:\/\/faults\/x\/object": the server answered 503 SlowDown: Please reduce your request rate\. \(request 4F1\)\nhint: It was tried \d+ times/ ],
	[ 'Retry-After beyond the time', [ says(503, 'SlowDown', headers => { 'Retry-After' => 3600 }, times => 0) ], 'get object', qr/^UNREACHABLE: .*SlowDown/ ],
	[ 'a hanging server', [ { do => 'hang', times => 0 } ], 'get object', qr/^UNREACHABLE: .*no answer from "localhost/ ],
	[ 'a put to a hanging server', [ { do => 'hang', times => 0 } ], 'put fails', qr/^UNREACHABLE: .*no answer from "localhost/ ],
	[ 'a trickling server', [ { do => 'trickle', times => 0 } ], 'get object', qr/^UNREACHABLE: .*no answer from "localhost/ ],
	[ 'a body that is always cut', [ { do => 'cut', size => 100, times => 0 } ], 'get object', qr/^UNREACHABLE: / ],
	[ 'a body without a length, cut', [ { do => 'nolength', size => 7000, times => 0 } ], 'get object', qr/^UNREACHABLE: .*no Content-Length/ ],
	[ 'a body larger than its bound', [ { do => 'answer', status => 200, headers => { ETag => '"x"', 'Content-Length' => 100000000 } } ], 'get object', qr/^CORRUPT: .*too large/ ],
	[ '403 AccessDenied', [ says(403, 'AccessDenied') ], 'get object', qr/^DENIED: .*answered 403 AccessDenied \(request 4F1\)\nhint: .*s3:ListBucket/ ],
	[ '403 without a message', [ says(403, 'AccessDenied') ], 'put fails', qr/^DENIED: .*403 AccessDenied/ ],
	[ '403 in HTML', [ { do => 'answer', status => 403, body => '<html>no' } ], 'get object', qr/^DENIED: .*answered 403\n/ ],
	[ 'keys that expired, for ever', [ says(400, 'ExpiredToken', times => 2) ], 'get object', qr/^DENIED: .*ExpiredToken/ ],
	[ '404 in HTML', [ { do => 'answer', status => 404, body => '<html>not found' } ], 'get object', qr/^UNREACHABLE: .*404\nhint: .*does not answer like an S3 server/ ],
	[ '404 without a body', [ { do => 'answer', status => 404 } ], 'get object', qr/^UNREACHABLE: / ],
	[ '404 with another code', [ says(404, 'NoSuchUpload') ], 'get object', qr/^UNREACHABLE: / ],
	[ '404 with a document type', [ { do => 'answer', status => 404, body => '<!DOCTYPE a [<!ENTITY b "NoSuchKey">]><Error><Code>&b;</Code></Error>' } ], 'get object', qr/^UNREACHABLE: / ],
	[ '404 NoSuchBucket', [ says(404, 'NoSuchBucket') ], 'get object', qr/^USAGE: there is no bucket "faults"/ ],
	[ 'a redirect to another region', [ says(301, 'PermanentRedirect', headers => { 'x-amz-bucket-region' => 'eu-west-3', Location => 'http://localhost:1/' }) ],
		'get object', qr/^USAGE: .*301 PermanentRedirect.*\nhint: The server expects region "eu-west-3", not "default": set s3-region/ ],
	[ 'a wrong region', [ { do => 'answer', status => 400, body => error_body('AuthorizationHeaderMalformed', "expecting 'eu-west-3'", Region => 'eu-west-3') } ],
		'get object', qr/^USAGE: .*\nhint: The server expects region "eu-west-3"/ ],
	[ 'a portal that redirects', [ { do => 'answer', status => 302, headers => { Location => 'http://portal/' } } ], 'get object', qr/^UNREACHABLE: .*302\nhint: .*does not answer like/ ],
	[ 'a portal that says 200 to a put', [ { do => 'answer', status => 200, body => '<html>Welcome' } ], 'put fails', qr/^UNREACHABLE: .*not one of S3/ ],
	[ 'a portal that says 200 to a list', [ { do => 'answer', status => 200, body => '<html>Welcome</html>' } ], 'list list/', qr/^UNREACHABLE: could not list/ ],
	[ 'a server without conditional writes', [ says(501, 'NotImplemented') ], 'put fails', qr/^USAGE: .*501 NotImplemented.*\nhint: .*s3-create-only = off/ ],
	[ 'a message with escapes in it', [ says(403, 'AccessDenied', message => "a&#9;b\xc3\xa9") ], 'put fails', qr/AccessDenied: a\?b\?\? \(/ ],
	[ 'an endless list', [ { do => 'change', from => '<IsTruncated>false', to => '<IsTruncated>true', times => 1 }, { match => 'start-after', do => 'answer', status => 200, times => 0,
		body => '<ListBucketResult><IsTruncated>true</IsTruncated><Contents><Key>x/list/a</Key><Size>1</Size></Contents></ListBucketResult>' } ], 'list list/', qr/^UNREACHABLE: .*out of order/ ],
	[ 'a list that promises more and has nothing', [ { do => 'answer', status => 200, body => '<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>' } ],
		'list list/', qr/^UNREACHABLE: .*promises more/ ],
	[ 'a list of another place', [ { do => 'change', from => '<Key>x', to => '<Key>y' } ], 'list list/', qr/^UNREACHABLE: .*of another place/ ],
	[ 'a range that is not honoured', [ { do => 'answer', status => 200, headers => { ETag => '"x"' }, body => $content } ], 'range object 100 50', qr/^UNREACHABLE: .*not one of S3/ ],
	[ 'another range', [ { do => 'answer', status => 206, headers => { 'Content-Range' => 'bytes 0-9/16000' }, body => '0' x 10 } ], 'range object 100 10', qr/^UNREACHABLE: .*another range/ ],
);

for my $case (@cases)
{
	my ($title, $orders, $command, $expected, $change) = @$case;
	$fault->order(@$orders);
	my ($status, $out, $err, $seconds) = tool($change // {}, $content, $command);
	my $left = $fault->left;
	if (ref $expected)
	{
		ok($status == 1 && $err =~ $expected && ($command =~ /^list/ || $out eq ''), "$title: " . ($err =~ /^([A-Z_]+)/ ? $1 : 'nothing')) or diag "exit $status\n$err";
	}
	else
	{
		my $wanted = $expected eq $whole ? $content : $expected;
		ok($status == 0 && $out eq $wanted, "$title: passes") or diag "exit $status, " . length($out) . " bytes\n$err";
	}
	ok($left == 0, '... every harm was done') or diag explain [ $fault->requests ];
	my $limit = ($change->{TEST_RETRY_FOR_MS} // 3000) / 1000;
	cmp_ok($seconds, '<', $limit + 3, sprintf '... in time (%.1f s)', $seconds);
}

# What was stored is what was put, once, whatever happened to the answers.
for my $number (2 .. 7)
{
	$fault->order;
	my ($status, $out) = tool({}, '', 'get', "passes-$number");
	ok($status == 0 && $out eq $content, "put $number stored its content");
}
$fault->order;
is((tool({}, '', 'get', 'fails'))[2] =~ /^NOT_FOUND/ ? 1 : 0, 1, 'a put that failed before it reached the server stored nothing');

# An answer that was lost, with other content there: that is not ours.
tool({}, 'something else', 'put', 'taken');
$fault->order({ match => '^PUT', do => 'close' });
like((tool({}, $content, 'put', 'taken'))[2], qr/^EXISTS: /, 'a lost answer does not make another\'s object ours');
$fault->order({ match => '^PUT', do => 'close' });
is((tool({}, 'something else', 'put', 'taken'))[0], 0, 'with the same content it may be ours');
$fault->order;
like((tool({}, 'something else', 'put', 'taken'))[2], qr/^EXISTS: /, 'without a lost answer it is not');

# The clock: the server's Date is learned, once, and said.
$fault->order({ do => 'answer', status => 403, clock_ahead => 7200, body => error_body('RequestTimeTooSkewed') },
	{ do => 'answer', status => 200, headers => { ETag => '"x"' }, body => 'hello' });
my ($status, $out, $err) = tool({}, '', 'get', 'object');
is($out, 'hello', 'after a complaint about the clock the request is repeated');
like($err, qr/warning: the clock of this host differs from that of "localhost:\d+" by (7200|7199|7201) s/, '... and that is said');
my ($first, $second) = map { $_->{head} =~ /^x-amz-date: (\d{8}T(\d\d)\d+)/mi ? $2 : '' } $fault->requests;
is(($second - $first) % 24, 2, '... with the time of the server');
$fault->order({ do => 'answer', status => 403, clock_ahead => 7200, times => 2, body => error_body('RequestTimeTooSkewed') });
like((tool({}, '', 'get', 'object'))[2], qr/DENIED: .*RequestTimeTooSkewed.*\nhint: Set the clock/, 'a server that goes on complaining: DENIED');
is(scalar $fault->requests, 2, '... after two requests');

# Encryption.
my %sse = (PITR_S3_SSE => 'AES256');
$fault->order({ match => '^PUT', do => 'answer', status => 200, headers => { ETag => '"x"', 'x-amz-server-side-encryption' => 'AES256' } });
is((tool(\%sse, 'x', 'put', 'sse-1'))[0], 0, 'encryption that the server confirms');
like(($fault->requests)[0]{head}, qr/^x-amz-server-side-encryption: AES256\r$/mi, '... was asked for');
$fault->order({ match => '^PUT', do => 'answer', status => 200, headers => { ETag => '"x"' } });
like((tool(\%sse, 'x', 'put', 'sse-2'))[2], qr/^USAGE: the server did not encrypt ".*sse-2" with "AES256"/, 'encryption silently not applied');
is(scalar(grep { $_->{head} =~ m{^DELETE /faults/x/sse-2} } $fault->requests), 1, '... and the object is taken away again');

# Retry-After is kept to; waits grow; a kept connection that died is replaced without a word.
$fault->order(says(503, 'SlowDown', headers => { 'Retry-After' => 2 }));
my $seconds = (tool({}, '', 'get', 'object'))[3];
ok($seconds >= 2 && $seconds < 4, "Retry-After: 2 is waited for ($seconds s)");
$fault->order(says(503, 'SlowDown', times => 0));
tool({}, '', 'get', 'object');
cmp_ok(scalar $fault->requests, '<=', 8, 'within 3 s no more than 8 attempts are made');
$fault->order({ match => '^GET', do => 'close', times => 3 });
is((tool({ TEST_REPEAT => 5 }, '', 'get', 'object'))[1], $content, 'connections that close between requests');

# libcurl sends a request again by itself when a kept connection dies under it: the first one may have been done.
$fault->order({ match => '^PUT', do => 'lose' });
my @warm = tool({ TEST_WARM => 'object' }, $content, 'put', 'resent');
is($warm[0], 0, 'a put whose kept connection died after it was done') or diag $warm[2];
is(scalar(grep { $_->{head} =~ /^PUT/ } $fault->requests), 2, '... was sent twice');

# A name server that does not answer: getaddrinfo() takes 10 s and more, and knows no deadline. In namespaces of its own, where the
# only name server is a socket that nobody reads.
SKIP:
{
	skip 'no namespaces here', 3 if system 'unshare --map-root-user --mount --net true 2> /dev/null';
	open my $file, '>', "$directory/resolv.conf" or die;
	print $file "nameserver 127.0.0.1\n";
	close $file;
	open $file, '>', "$directory/silent.sh" or die;
	print $file <<'END';
set -e
mount --bind "$1/resolv.conf" /etc/resolv.conf
ip link set lo up
shift
exec perl -MIO::Socket::INET -e '
	my $silent = IO::Socket::INET->new(LocalAddr => "127.0.0.1", LocalPort => 53, Proto => "udp") or die "no socket: $!\n";
	exit(system(@ARGV) >> 8)' "$@"
END
	close $file;
	local %ENV = (%ENV, PITR_S3_ENDPOINT => 'http://store.example.com:9000');
	my $begin = time;
	my $said = `timeout 60 unshare --map-root-user --mount --net sh $directory/silent.sh $directory $build/tools/storage_tool get object 2>&1`;
	my $took = time - $begin;
	is($? >> 8, 1, 'a name server that does not answer: 1');
	like($said, qr/^UNREACHABLE: .*no answer from "store\.example\.com:9000"/m, '... UNREACHABLE');
	cmp_ok($took, '<', 6, "... within a little more than retry-for (3 s; it took $took)") or diag $said;
}

# Secrets.
my $secret = $s3->secret_key;
unlike(join('', map { $_->{head} } $fault->requests), qr/\Q$secret\E/, 'the secret key is never sent');
is(scalar(grep { $_->{head} =~ /^x-amz-content-sha256: UNSIGNED/mi } $fault->requests), 0, 'every request carries the hash of its body');

done_testing();
