# What S3 has and WebDAV has not, for the nginx of bench/sink.sh: listing a bucket, uploads in parts, removing several
# objects at once. Runs inside nginx (its perl module), on the objects as files below the document root.
package S3Sink;

use strict;
use warnings;

# What nginx calls OK, and a status. Its module "nginx" is there only inside it.
use constant { OK => 0, HTTP_NOT_FOUND => 404 };

my %parameter_names = map { $_ => 1 } qw(prefix delimiter start-after continuation-token max-keys encoding-type);

sub unescape {
	my ($text) = @_;
	$text =~ tr/+/ /;
	$text =~ s/%([0-9A-Fa-f]{2})/chr hex $1/ge;
	return $text;
}

sub escape_xml {
	my ($text) = @_;
	$text =~ s/&/&amp;/g;
	$text =~ s/</&lt;/g;
	$text =~ s/>/&gt;/g;
	return $text;
}

sub parameters {
	my ($request) = @_;
	my %value = ('max-keys' => 1000);
	for (split /&/, $request->args // '') {
		my ($name, $value) = split /=/, $_, 2;
		$value{$name} = unescape($value // '') if $parameter_names{$name};
	}
	return \%value;
}

sub answer {
	my ($request, $content) = @_;
	$request->send_http_header('application/xml');
	$request->print($content) unless $request->header_only;
	return OK;
}

# Keys of the bucket with the prefix: key => size. Looks at no more than the prefix needs, because a server that limits
# here would be measured instead of the tools; with $is_flat, a folder behind the prefix is one key that ends in "/".
sub keys_of {
	my ($bucket, $prefix, $is_flat) = @_;
	my %size;
	my ($first) = $prefix =~ m{^(.*/)};
	my @folders = ($first // '');
	while (defined(my $folder = shift @folders)) {
		opendir my $directory, "$bucket/$folder" or next;
		for my $name (readdir $directory) {
			my $key = $folder . $name;
			next if $name =~ /^\.\.?$/ || index($key, $prefix) != 0;
			my $file = "$bucket/$key";
			if    (!-d $file) { $size{$key} = -s _ }
			elsif ($is_flat)  { $size{"$key/"} = 0 }
			else              { push @folders, "$key/" }
		}
	}
	return \%size;
}

# GET /bucket?list-type=2&...
sub list {
	my ($request) = @_;
	my $bucket = $request->filename;
	$bucket =~ s{/+$}{};
	return answer($request, '') if ($request->args // '') !~ /list-type=2/;
	my $want = parameters($request);
	my ($prefix, $delimiter) = ($want->{prefix} // '', $want->{delimiter} // '');
	my $after = $want->{'continuation-token'} // $want->{'start-after'} // '';
	my $is_flat = $delimiter eq '/';
	my $size = keys_of($bucket, $prefix, $is_flat);
	my ($count, $last, $is_truncated, $entries) = (0, '', 'false', '');
	for my $key (sort grep { $_ gt $after } keys %$size) {
		if ($count++ >= $want->{'max-keys'}) {
			$is_truncated = 'true';
			last;
		}
		$last = $key;
		my $shown = escape_xml($key);
		$shown =~ s{([^A-Za-z0-9._~/-])}{sprintf '%%%02X', ord $1}ge if ($want->{'encoding-type'} // '') eq 'url';
		$entries .= $key =~ m{/$}
		  ? "<CommonPrefixes><Prefix>$shown</Prefix></CommonPrefixes>"
		  : "<Contents><Key>$shown</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>"
		  . "<ETag>&quot;0&quot;</ETag><Size>$size->{$key}</Size></Contents>";
	}
	my $token = $is_truncated eq 'true' ? '<NextContinuationToken>' . escape_xml($last) . '</NextContinuationToken>' : '';
	return answer($request, '<?xml version="1.0" encoding="UTF-8"?>'
		. '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>bucket</Name><Prefix>'
		. escape_xml($prefix) . "</Prefix><MaxKeys>$want->{'max-keys'}</MaxKeys><IsTruncated>$is_truncated</IsTruncated>"
		. "$token$entries</ListBucketResult>");
}

# POST /-post/bucket/key?uploads=, ?uploadId=..., and /-post/bucket?delete=
sub post {
	my ($request) = @_;
	return post_answer($request) if ($request->args // '') =~ /^uploads/;
	return $request->has_request_body(\&post_answer) ? OK : post_answer($request);
}

sub post_answer {
	my ($request) = @_;
	my $args = $request->args // '';
	my ($root, $path) = $request->filename =~ m{^(.*)/-post/(.*)$} or return HTTP_NOT_FOUND;
	if ($args =~ /^uploads/) {
		my $upload = sprintf '%d-%d-%d', $$, time, rand 1e9;
		return answer($request, "<InitiateMultipartUploadResult><UploadId>$upload</UploadId></InitiateMultipartUploadResult>");
	}
	if ($args =~ /uploadId=([0-9-]+)/) {
		complete("$root/-upload/$1", "$root/$path");
		return answer($request, '<CompleteMultipartUploadResult><ETag>&quot;0&quot;</ETag></CompleteMultipartUploadResult>');
	}
	my $body = $request->request_body // '';
	unlink "$root/$path/" . $_ for $body =~ m{<Key>([^<]+)</Key>}g;
	return answer($request, '<DeleteResult></DeleteResult>');
}

# The parts behind one another. The first becomes the object, so that an upload of one part copies nothing.
sub complete {
	my ($parts, $path) = @_;
	my ($first, @others) = sort { ($a =~ m{(\d+)$})[0] <=> ($b =~ m{(\d+)$})[0] } glob "$parts/*";
	my $folder = '';
	for ($path =~ m{([^/]*/)}g) { $folder .= $_; mkdir $folder }
	if (@others) {
		open my $object, '>>:raw', $first or die "$first: $!\n";
		for my $part (@others) {
			open my $file, '<:raw', $part or die "$part: $!\n";
			my $content;
			while (sysread $file, $content, 1 << 20) { syswrite $object, $content }
			unlink $part;
		}
	}
	rename $first, $path or die "$path: $!\n";
	rmdir $parts;
	return;
}

1;
