# A proxy in front of an S3 server (over HTTP, on loopback) that does harm as it is told, for tests of what goes wrong
# on the way. It passes every byte on, signatures included, until an order fits.
#
#   my $fault = PitrFault->start($s3->http_port);
#   $fault->order({match => '^PUT ', do => 'lose'}, {match => '^GET ', do => 'cut', size => 100, times => 2});
#   ... $fault->endpoint ...
#   is($fault->left, 0, 'every order was carried out');
#   $fault->requests    # the first lines, headers and what was done, of all since the last order
#
# An order is carried out for the first `times` requests (1; 0: all) whose first line matches; then the next one's turn
# comes. What it can do:
#   answer   status, headers => {...}, body: this instead of asking the server (length => 0: no Content-Length)
#   close    closes the connection instead of answering
#   hang     keeps the connection open and says nothing
#   lose     lets the server do it, and closes instead of passing the answer on
#   cut      passes the answer on up to so many bytes of its body (size), and closes
#   nolength passes the answer on without Content-Length, cut to size, and closes in good order
#   drop     passes the answer on without the header `header`
#   change   passes the answer on with `from` (a regular expression) in its body changed to `to`
#   relist   passes a listing on: without the keys that fit `hide`, with those of `show` (["<Contents>...", ...]) that were
#            asked for, at most `size` keys on a page, `twice` each ('key') or one after the other ('page'), and, if
#            `stuck`, as if it were always asked from the beginning
#   trickle  passes the answer on, one byte of its body a second
#   delay    lets the server do it, and passes the answer on after so many seconds
#   pass     nothing: only that the next order's turn comes
package PitrFault;

use strict;
use warnings;

use Fcntl qw(:flock);
use File::Temp ();
use IO::Select;
use IO::Socket::INET;
use JSON::PP ();
use POSIX ();

my %running;
my $owner = $$;

sub start
{
	my ($class, $upstream_port) = @_;
	my $listener = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 64, ReuseAddr => 1) or die "listen: $!\n";
	my $self = bless {
		upstream_port => $upstream_port,
		port          => $listener->sockport,
		directory     => File::Temp->newdir,
	}, $class;
	$self->order;
	my $parent = $$;
	$self->{pid} = fork // die "fork: $!\n";
	if ($self->{pid} == 0)
	{
		$SIG{$_} = 'DEFAULT' for qw(TERM INT);
		open STDOUT, '>', '/dev/null';    # whoever reads the test's output must not wait for us
		open STDERR, '>', '/dev/null';
		$SIG{CHLD} = 'IGNORE';
		$SIG{PIPE} = 'IGNORE';
		$self->serve($listener, $parent);
	}
	$running{ $self->{pid} } = 1;
	return $self;
}

sub endpoint { return "http://localhost:$_[0]{port}" }

sub stop
{
	my ($self) = @_;
	return unless delete $running{ $self->{pid} };
	kill 'KILL', $self->{pid};
	waitpid $self->{pid}, 0;
}

END
{
	if ($$ == $owner)
	{
		my $status = $?;
		for my $pid (keys %running) { kill 'KILL', $pid; waitpid $pid, 0 }
		$? = $status;
	}
}

# --- orders, in a file that the processes share ---

sub _with_state
{
	my ($self, $work) = @_;
	my $path = "$self->{directory}/state";
	open my $file, '+>>', $path or die "$path: $!\n";
	flock $file, LOCK_EX or die "$path: $!\n";
	seek $file, 0, 0;
	my $text  = do { local $/; <$file> };
	my $state = length($text // '') ? JSON::PP::decode_json($text) : { orders => [] };
	my $result = $work->($state);
	truncate $file, 0;
	seek $file, 0, 0;
	print $file JSON::PP::encode_json($state);
	close $file;
	return $result;
}

sub order
{
	my ($self, @orders) = @_;
	$self->_with_state(sub {
		my ($state) = @_;
		$state->{orders} = [ map { { times => 1, match => '.', %$_ } } @orders ];
		unlink "$self->{directory}/requests";
	});
}

sub left { return $_[0]->_with_state(sub { scalar grep { $_->{times} > 0 } @{ $_[0]{orders} } }) }

# One line each, in a file of their own: there may be thousands.
sub requests
{
	my ($self) = @_;
	return @{ $self->_with_state(sub {
		open my $file, '<', "$self->{directory}/requests" or return [];
		return [ map { JSON::PP::decode_json($_) } <$file> ];
	}) };
}

sub _take_order
{
	my ($self, $head) = @_;
	return $self->_with_state(sub {
		my ($state) = @_;
		my ($line) = $head =~ /^([^\r\n]*)/;
		my $order;
		if (@{ $state->{orders} } && $line =~ /$state->{orders}[0]{match}/)
		{
			$order = { %{ $state->{orders}[0] } };
			shift @{ $state->{orders} } if $state->{orders}[0]{times} > 0 && --$state->{orders}[0]{times} == 0;
		}
		open my $requests, '>>', "$self->{directory}/requests" or die "$self->{directory}/requests: $!\n";
		print $requests JSON::PP::encode_json({ head => $head, did => $order ? $order->{do} : 'pass' }), "\n";
		close $requests;
		return $order;
	});
}

# --- one connection ---

sub serve
{
	my ($self, $listener, $parent) = @_;
	my $waiting = IO::Select->new($listener);
	while (getppid == $parent)    # a test that was killed cannot stop us
	{
		next unless $waiting->can_read(0.5);
		my $client = $listener->accept or next;
		my $pid = fork // next;
		if ($pid == 0)
		{
			alarm 60;    # nothing is left over from a hang
			close $listener;
			$client->autoflush(1);
			while ($self->serve_one($client)) { }
			POSIX::_exit(0);
		}
		close $client;
	}
	POSIX::_exit(0);
}

# Reads one message: its head, and its body by Content-Length or chunks (kept as they are).
sub _read_message
{
	my ($socket, $has_no_body) = @_;
	my $head = '';
	until ($head =~ /\r\n\r\n\z/)
	{
		my $got = sysread $socket, my $byte, 1;
		return unless $got;
		$head .= $byte;
	}
	my $body = '';
	return ($head, $body) if $has_no_body || $head =~ m{^HTTP/\S+ (204|304)};
	if ($head =~ /^Transfer-Encoding:.*chunked/mi)
	{
		until ($body =~ /(?:\A|\r\n)0\r\n\r\n\z/) { sysread($socket, $body, 65536, length $body) or last }
		return ($head, $body);
	}
	my ($size) = $head =~ /^Content-Length:\s*(\d+)/mi;
	while (length $body < ($size // 0))
	{
		sysread($socket, $body, $size - length $body, length $body) or last;
	}
	return ($head, $body);
}

sub _send
{
	my ($socket, $text) = @_;
	while (length $text)
	{
		my $sent = syswrite $socket, $text;
		return 0 unless defined $sent;
		$text = substr $text, $sent;
	}
	return 1;
}

sub _forward
{
	my ($self, $head, $body) = @_;
	my $server = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $self->{upstream_port}) or return;
	_send($server, $head . $body);
	return _read_message($server, $head =~ /^HEAD /);
}

sub _date { return POSIX::strftime('%a, %d %b %Y %H:%M:%S GMT', gmtime $_[0]) }

sub _canned
{
	my ($order) = @_;
	my $body = $order->{body} // '';
	my %headers = (Date => _date(time + ($order->{clock_ahead} // 0)), %{ $order->{headers} // {} });
	$headers{'Content-Length'} //= length $body unless defined $order->{length} && !$order->{length};
	return "HTTP/1.1 $order->{status} Said\r\n" . join('', map { "$_: $headers{$_}\r\n" } sort keys %headers) . "\r\n$body";
}

sub join_chunks
{
	my ($chunks) = @_;
	my $whole = '';
	while ($chunks =~ s/\A([0-9a-fA-F]+)\r\n// && hex $1) { $whole .= substr $chunks, 0, hex $1, ''; $chunks =~ s/\A\r\n// }
	return $whole;
}

sub _relist
{
	my ($order, $head, $body) = @_;
	my $plain = sub { $_[0] =~ s/%([0-9a-fA-F]{2})/chr hex $1/ger };
	my ($query) = $head =~ m{^\S+ [^ ?]*\?(\S*)};
	my %asked = map { m{(.*?)=(.*)} ? ($1 => $plain->($2)) : () } split /&/, $query;
	my $after = $order->{stuck} ? '' : $asked{'start-after'} // '';
	my $key_of = sub { $plain->($_[0] =~ m{<Key>(.*?)</Key>}) };
	my %items = map { $key_of->($_) => $_ } $body =~ m{<Contents>.*?</Contents>}sg, @{ $order->{show} // [] };
	my @keys = sort grep { index($_, $asked{prefix}) == 0 && $_ gt $after && !(defined $order->{hide} && /$order->{hide}/) } keys %items;
	my $is_cut = $order->{size} && @keys > $order->{size};
	splice @keys, $order->{size} if $is_cut;
	@keys = $order->{twice} eq 'key' ? map { ($_, $_) } @keys : (@keys, @keys) if $order->{twice};
	$body =~ s{<Contents>.*?</Contents>}{}sg;
	$body =~ s{(<IsTruncated>)\w+}{$1true} if $is_cut;
	$body =~ s{(<KeyCount>)\d+}{$1 . @keys}e;
	return $body =~ s{(?=</ListBucketResult>)}{join '', @items{@keys}}er;
}

# False when the connection is at its end.
sub serve_one
{
	my ($self, $client) = @_;
	my ($head, $body) = _read_message($client) or return 0;
	my $order = $self->_take_order($head);
	my $do = $order ? $order->{do} : 'pass';

	return 0 if $do eq 'close';
	if ($do eq 'hang')
	{
		my $parent = getppid;
		for (1 .. 120) { select undef, undef, undef, 0.5; last if getppid != $parent }
		return 0;
	}
	if ($do eq 'answer')
	{
		_send($client, _canned($order));
		return !(defined $order->{length} && !$order->{length});
	}
	my ($answer_head, $answer_body) = $self->_forward($head, $body) or return 0;
	return 0 if $do eq 'lose';
	select undef, undef, undef, $order->{seconds} if $do eq 'delay';
	if ($do eq 'drop') { $answer_head =~ s/^\Q$order->{header}\E:[^\r\n]*\r\n//mi }
	if ($do eq 'nolength')
	{
		$answer_head =~ s/^Content-Length:[^\r\n]*\r\n//mi;
		$answer_head =~ s/\r\n\r\n\z/\r\nConnection: close\r\n\r\n/;
	}
	if ($do eq 'cut' || $do eq 'nolength')
	{
		_send($client, $answer_head . substr $answer_body, 0, $order->{size});
		return 0;
	}
	if ($do eq 'change' || $do eq 'relist')
	{
		if ($answer_head =~ s/^Transfer-Encoding:[^\r\n]*\r\n/Content-Length: 0\r\n/mi)
		{
			$answer_body = join_chunks($answer_body);
		}
		$answer_body =~ s/$order->{from}/$order->{to}/g if $do eq 'change';
		$answer_body = _relist($order, $head, $answer_body) if $do eq 'relist';
		$answer_head =~ s/^Content-Length:[^\r\n]*/'Content-Length: ' . length $answer_body/mei;
	}
	if ($do eq 'trickle')
	{
		_send($client, $answer_head);
		for my $byte (split //, $answer_body) { _send($client, $byte) or return 0; sleep 1 }
		return 0;
	}
	return _send($client, $answer_head . $answer_body);
}

1;
