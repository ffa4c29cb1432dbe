# pitr-basebackup against a server that lies, stops in the middle, or sends what leads elsewhere: a sentence, and no backup.
# sanitizer: yes
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use IO::Socket::INET;
use Pitr;

my $repo = repo('main');
my $node = cluster('source', repo => $repo, start => 0);
my ($system_identifier) = run_ok([ $node->bin . '/pg_controldata', $node->data_dir ], 'the cluster has an identity') =~
  /system identifier:\s+(\d+)/;
my $control = read_file($node->data_dir . '/global/pg_control');

# --- a walsender --------------------------------------------------------------------------------------------------------
# Messages of the protocol (manual, chapter 55).
sub message { my ($type, $content) = @_; return $type . pack('N', 4 + length $content) . $content }
sub row_description {
	return message('T', pack('n', scalar @_) . join '', map { "$_\0" . pack('NnNnNn', 0, 0, 25, 65535, 4294967295, 0) } @_);
}
sub row { return message('D', pack('n', scalar @_) . join '', map { defined $_ ? pack('N', length $_) . $_ : pack('N', 4294967295) } @_) }
sub rows {
	my ($names, @rows) = @_;
	return row_description(@$names) . join('', map { row(@$_) } @rows) . message('C', "SELECT\0");
}
sub copy { return message('d', $_[0]) }
sub server_error { return message('E', "SERROR\0VERROR\0C" . ($_[1] // '55000') . "\0M$_[0]\0\0") }

my %settings = (
	wal_level => 'replica', archive_mode => 'on', archive_command => 'x', archive_library => '', data_checksums => 'on',
	wal_segment_size => '16MB', block_size => '8192', segment_size => '1GB', checkpoint_timeout => '5min');

# Serves one connection and leaves, without END blocks: $answer is what comes for BASE_BACKUP, or a sub that says so.
sub serve {
	my ($socket, $answer) = @_;
	my $take = sub {
		my ($size) = @_;
		my $content = '';
		while (length $content < $size) { sysread($socket, $content, $size - length $content, length $content) or POSIX::_exit(0) }
		return $content;
	};
	my $startup;
	while (1) {
		$startup = $take->(unpack('N', $take->(4)) - 4);
		last if unpack('N', $startup) == 196608;
		syswrite $socket, 'N';    # neither TLS nor GSSAPI
	}
	my $ready = message('Z', 'I');
	syswrite $socket, message('R', pack('N', 0)) . join('', map { message('S', $_) } "server_version\0" . "15.20\0", "in_hot_standby\0off\0",
		"client_encoding\0UTF8\0", "standard_conforming_strings\0on\0") . $ready;
	while (1) {
		my $type    = $take->(1);
		my $content = $take->(unpack('N', $take->(4)) - 4);
		POSIX::_exit(0) if $type eq 'X';
		if    ($content =~ /^SHOW (\w+)/)     { syswrite $socket, rows([$1], [ $settings{$1} ]) . $ready }
		elsif ($content =~ /^IDENTIFY_SYSTEM/) {
			syswrite $socket, rows([qw(systemid timeline xlogpos dbname)], [ $system_identifier, 1, '0/3000000', undef ]) . $ready;
		}
		elsif ($content =~ /^BASE_BACKUP/) {
			my $said = ref $answer ? $answer->($content) : $answer;
			for (my $at = 0; $at < length $said; $at += 65536) { syswrite $socket, substr($said, $at, 65536) or POSIX::_exit(0) }
			POSIX::_exit(0) if substr($said, -6) ne $ready;
		}
		else { POSIX::_exit(0) }
	}
}

# --- what it sends ------------------------------------------------------------------------------------------------------
sub tar_entry {
	my ($name, $content, %how) = @_;
	my $header = pack('a100 a8 a8 a8 a12 a12 A8 a1 a100 a6 a2 a32 a32 a8 a8 a155 x12', $name, '0000600', '0000000', '0000000',
		sprintf('%011o', $how{size} // length $content), sprintf('%011o', $how{modified} // time), '', $how{type} // '0', $how{link} // '', 'ustar', '00', '', '',
		'', '', '');
	substr($header, 148, 8) = sprintf "%06o\0 ", unpack '%32C*', $header;
	return $header . $content . "\0" x (-length($content) % 512);
}

my $label = "START WAL LOCATION: 0/2000028 (file 000000010000000000000002)\nCHECKPOINT LOCATION: 0/2000060\n"
  . "BACKUP METHOD: streamed\nBACKUP FROM: primary\nSTART TIME: 2026-01-01 00:00:00 UTC\nLABEL: x\nSTART TIMELINE: 1\n";
my %part = (
	start     => rows([qw(recptr tli)], [ '0/2000028', 1 ]),
	spaces    => rows([qw(spcoid spclocation size)], [ undef, undef, undef ]),
	copy      => message('H', pack('Cn', 0, 0)),
	archive   => copy("nbase.tar\0\0"),
	label     => copy('d' . tar_entry('backup_label', $label)),
	files     => copy('d' . tar_entry('base/1/1', 'x' x 8192)) . copy('d' . tar_entry('pg_wal', '', type => '5')),
	control   => copy('d' . tar_entry('global/pg_control', $control)),
	trailer   => copy('d' . "\0" x 1024),
	manifest  => copy('m') . copy('d{}'),
	done      => message('c', ''),
	end       => rows([qw(recptr tli)], [ '0/2000100', 1 ]),
	complete  => message('C', "BASE_BACKUP\0") . message('Z', 'I'),
);
my @order = qw(start spaces copy archive label files control trailer manifest done end complete);

# The whole answer with some parts exchanged.
sub answer {
	my (%changes) = @_;
	return join '', map { $changes{$_} // $part{$_} } @order;
}
sub cut { my ($answer, $size) = @_; return substr $answer, 0, $size }

# Runs against a server that answers so; returns (status, stderr). With tls => 1 the connection is encrypted.
sub backup_of {
	my ($answer, %how) = @_;
	my $listener = IO::Socket::INET->new(Listen => 5, LocalAddr => '127.0.0.1', Proto => 'tcp') or die "could not listen: $!\n";
	my $pid = fork // die "could not fork: $!\n";
	if ($pid == 0) {
		$SIG{ALRM} = 'DEFAULT';
		alarm 60;
		while (my $socket = $listener->accept) {
			my $child = fork // POSIX::_exit(1);
			serve($socket, $answer) if $child == 0;
			close $socket;
			waitpid $child, 0;
		}
		POSIX::_exit(0);
	}
	my $front = $how{tls} ? tls_front($listener->sockport) : undef;
	my $port = $front ? $front->{port} : $listener->sockport;
	my ($status, undef, $stderr) = run_program([ 'pitr-basebackup', $repo->options, '-h', '127.0.0.1', '-p', $port,
			'-U', 'x', '--checkpoint=fast', '--wal-timeout=1s', '--log-level=info' ],
		env => { PGSSLMODE => $how{tls} ? 'require' : 'disable' }, timeout => 60);
	for my $process ($pid, $front ? $front->{pid} : ()) {
		kill 'KILL', $process;
		waitpid $process, 0;
	}
	return ($status, $stderr);
}

# Speaks TLS for the port given; returns the front: its port, its process, and what it lives by.
sub tls_front {
	my ($port) = @_;
	my $tls = directory('tls');
	-e "$tls/key" or run_ok([ qw(openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost), '-keyout', "$tls/key", '-out', "$tls/crt" ],
		'a certificate is made');
	pipe my $stays, my $lives or die "could not make a pipe: $!\n";
	pipe my $hears, my $says or die "could not make a pipe: $!\n";
	my $pid = fork // die "could not fork: $!\n";
	if ($pid == 0) {
		open STDIN,  '<&', $stays or POSIX::_exit(1);
		open STDOUT, '>&', $says  or POSIX::_exit(1);
		exec '/usr/bin/python3', '-B', "$FindBin::RealBin/tools/tls_front.py", $port, "$tls/crt", "$tls/key" or POSIX::_exit(1);
	}
	close $says;
	chomp(my $answer = <$hears> // die "the TLS front did not start\n");
	return { port => $answer, pid => $pid, lives => $lives };
}

# --- the table ------------------------------------------------------------------------------------------------------------
my $long = tar_entry('base/1/2', 'x' x 512, size => 1 << 30);
my $torn = $control;
substr($torn, 16, 1) ^= "\1";
my @cases = (
	[ 'everything as it should be: only the WAL is missing', qr/WAL file "000000010000000000000002".* did not come/, {} ],
	[ 'an archive that was not announced', qr/"16384\.tar" that it had not announced/, { archive => copy("n16384.tar\0/x\0") } ],
	[ 'an archive with a path for a name', qr/that it had not announced/, { archive => copy("n../../base.tar\0\0") } ],
	[ 'an archive whose name does not end', qr/an archive without a name/, { archive => copy('nbase.tar') } ],
	[ 'an archive without a name', qr/an archive without a name/, { archive => copy('n') } ],
	[ 'content before an archive', qr/content before the name/, { archive => '' } ],
	[ 'a message of an unknown kind', qr/kind that is not known/, { files => copy('zzz') } ],
	[ 'an empty message, which libpq drops', qr/did not come/, { files => copy('') } ],
	[ 'a path upwards', qr/"base\/\.\.\/\.\.\/x", which leads elsewhere/, { files => copy('d' . tar_entry('base/../../x', '')) } ],
	[ 'an absolute path', qr/which leads elsewhere/, { files => copy('d' . tar_entry('/etc/passwd', '')) } ],
	[ 'a link', qr/which is no tablespace/, { files => copy('d' . tar_entry('base/1', '', type => '2', link => '/etc')) } ],
	[ 'a device', qr/neither a file nor a directory/, { files => copy('d' . tar_entry('base/1', '', type => '3')) } ],
	[ 'no tar at all', qr/no ustar header/, { files => copy('d' . 'x' x 512) } ],
	[ 'a file that goes on where the archive ends', qr/in the middle of an entry/, { trailer => copy("d$long") } ],
	[ 'something behind the end of the archive', qr/behind the end of the archive/, { trailer => copy('d' . "\0" x 1024 . tar_entry('x', '')) } ],
	[ 'no backup_label', qr/did not send "backup_label"/, { label => '' } ],
	[ 'a backup_label that begins elsewhere', qr/begins somewhere else/, { label => copy('d' . tar_entry('backup_label', $label =~ s{0/2000028}{0/2000060}r)) } ],
	[ 'a backup_label that is none', qr/no start location/, { label => copy('d' . tar_entry('backup_label', "nothing\n")) } ],
	[ 'no pg_control', qr/did not send "global\/pg_control"/, { control => '' } ],
	[ 'a damaged pg_control', qr/damaged "global\/pg_control"/, { control => copy('d' . tar_entry('global/pg_control', $torn)) } ],
	[ 'a pg_control of nothing', qr/pg_control/, { control => copy('d' . tar_entry('global/pg_control', '')) } ],
	[ 'no manifest', qr/did not send its manifest/, { manifest => '' } ],
	[ 'two manifests', qr/two manifests/, { manifest => $part{manifest} x 2 } ],
	[ 'an archive behind the manifest', qr/an archive behind the manifest/, { manifest => $part{manifest} . $part{archive} } ],
	[ 'an error in the middle', qr/could not take the base backup: the disk is on fire/, { trailer => server_error('the disk is on fire') . message('Z', 'I') } ],
	[ 'an error behind the last byte', qr/could not take the base backup: it was all for nothing/, { end => server_error('it was all for nothing'), complete => message('Z', 'I') } ],
	[ 'an error behind the end', qr/could not take the base backup: not even now/, { complete => server_error('not even now') . message('Z', 'I') } ],
	[ 'a start that is no position', qr/says that it is at "there"/, { start => rows([qw(recptr tli)], [ 'there', 1 ]) } ],
	[ 'timeline 0', qr/timeline "0"/, { start => rows([qw(recptr tli)], [ '0/2000028', 0 ]) } ],
	[ 'a start of no rows', qr/0 rows/, { start => rows([qw(recptr tli)]) } ],
	[ 'a start of one column', qr/1 columns/, { start => rows(['recptr'], ['0/2000028']) } ],
	[ 'an end before the start', qr/ended the backup before it began/, { end => rows([qw(recptr tli)], [ '0/2000000', 1 ]) } ],
	[ 'an end on another timeline', qr/00000007\.history".* did not come/, { end => rows([qw(recptr tli)], [ '0/2000100', 7 ]) } ],
	[ 'an end that is none', qr/0 rows/, { end => rows([qw(recptr tli)]) } ],
	[ 'a tablespace without a number', qr/a tablespace "x"/, { spaces => rows([qw(spcoid spclocation size)], [ 'x', '/x', undef ]) } ],
	[ 'a tablespace at the end of the world', qr/a tablespace "1"/, { spaces => rows([qw(spcoid spclocation size)], [ 1, '/x' x 1000, undef ]) } ],
	[ 'five thousand tablespaces', qr/more than 1024 tablespaces/, { spaces => rows([qw(spcoid spclocation size)], map { [ $_, "/$_", undef ] } 1 .. 5000) } ],
	[ 'no copy', qr/could not take the base backup/, { copy => '', done => '' } ],
);
for my $case (@cases) {
	my ($title, $says, $changes) = @$case;
	my ($status, $stderr) = backup_of(answer(%$changes));
	ok(($status == 1 || $status == 2) && $stderr =~ /^pitr-basebackup: error: .*$says/m && 1 == (() = $stderr =~ /error:/g), $title)
	  or diag("status $status\n$stderr\nexpected: $says");
}

# --- a stream that the server compresses ----------------------------------------------------------------------------------
# lz4's frame format: descriptor (blocks of at most 64 kB, no checksums), stored blocks, the end mark.
my $lz4_begin = "\x04\x22\x4d\x18\x60\x40\x82";
sub lz4 { return $lz4_begin . join('', map { pack('V', 0x80000000 | length) . $_ } unpack '(a65536)*', $_[0]) . pack('V', 0) }
sub compressed {
	my ($content) = @_;
	return (archive => copy("nbase.tar.lz4\0\0"), label => join('', map { copy("d$_") } unpack '(a1000)*', $content), files => '',
		control => '', trailer => '');
}

my $tar   = tar_entry('backup_label', $label) . tar_entry('base/1/1', 'x' x 8192) . tar_entry('global/pg_control', $control);
my $frame = lz4($tar . "\0" x 1024);
my $is_compressed = 'the server compresses the stream with lz4: the connection is encrypted';
my $cannot = sub {
	my ($sqlstate, %changes) = @_;
	return sub {
		my ($command) = @_;
		return server_error('it was built without', $sqlstate) . message('Z', 'I') if $command =~ /COMPRESSION 'lz4'/;
		return answer(%changes);
	};
};
my @compressed_cases = (
	[ 'everything as it should be', 1, qr/WAL file "000000010000000000000002".* did not come/, answer(compressed($frame)) ],
	[ 'an archive in two', 1, qr/something follows the end of the lz4 data/, answer(compressed(lz4($tar) . lz4("\0" x 1024))) ],
	[ 'an archive that is not compressed', 1, qr/"base\.tar" that it had not announced/, answer() ],
	[ 'an archive that is not compressed but says so', 1, qr/the archive that the server sent: lz4 data does not decompress/,
		answer(compressed($tar)) ],
	[ 'an archive that is cut off', 1, qr/the archive that the server sent: lz4 data ends in the middle/, answer(compressed(substr $frame, 0, -4)) ],
	[ 'an archive of nothing', 1, qr/lz4 data ends in the middle/, answer(compressed('')) ],
	[ 'an archive whose content is cut off', 1, qr/in the middle of an entry/, answer(compressed(lz4(substr $tar, 0, -100))) ],
	[ 'a manifest that is compressed, which is only kept', 1, qr/did not come/, answer(compressed($frame), manifest => copy('m') . copy('d' . lz4('{}'))) ],
	[ 'an error that has nothing to do with it', 1, qr/could not take the base backup: it was built without/, $cannot->('55000') ],
);
for my $case (@compressed_cases) {
	my ($title, $status_expected, $says, $answer) = @$case;
	my ($status, $stderr) = backup_of($answer, tls => 1);
	ok($status == $status_expected && $stderr =~ /^pitr-basebackup: error: .*$says/m && 1 == (() = $stderr =~ /error:/g), "compressed: $title")
	  or diag("status $status\n$stderr\nexpected: $says");
	like($stderr, qr/\Q$is_compressed\E/, '… and it was') unless ref $answer;
}
for my $sqlstate (qw(0A000 42601)) {
	my (undef, $stderr) = backup_of($cannot->($sqlstate), tls => 1);
	like($stderr, qr/cannot compress the stream with lz4: it was built without$/m, "a server that cannot compress, and says so with $sqlstate");
	like($stderr, qr/error: .*WAL file "000000010000000000000002".* did not come/, '… sends its files as they are');
}
my ($unencrypted) = (backup_of($cannot->('0A000')))[1];
unlike($unencrypted, qr/compress/, 'without TLS, within the host, it is not asked to');

# --- cut off anywhere -------------------------------------------------------------------------------------------------------
my $whole = answer();
my @wrong;
for my $size (map { int(length($whole) * $_ / 12) } 0 .. 11) {
	my ($status, $stderr) = backup_of(cut($whole, $size));
	push @wrong, "$size: $status $stderr" unless $status == 1 && $stderr =~ /^pitr-basebackup: error: could not take the base backup: /m;
}
is_deeply(\@wrong, [], 'a connection that ends anywhere is an error that says so');
is_deeply([ $repo->objects(qr{/backup/}) ], [], 'after all this no backup is listed');

# --- a clock of its own ---------------------------------------------------------------------------------------------------
# What it writes into its WAL are times of its clock, and so are a backup's.
$node->start;
$node->query($_) for 'CREATE TABLE t ()', 'SELECT pg_switch_wal()', 'CREATE TABLE u ()', 'SELECT pg_switch_wal()';
$node->archive_all;
my %seen;
for my $case ([ 3600, qr/36\d\d\.\d s ahead of/ ], [ -3600, qr/3[56]\d\d\.\d s behind/ ], [ 0, undef ]) {
	my ($ahead, $says) = @$case;
	my $label_there = copy('d' . tar_entry('backup_label', $label, modified => time + $ahead));
	my ($status, $stderr) = backup_of(answer(label => $label_there));
	is($status, 0, "a server whose clock is $ahead s ahead") or diag $stderr;
	if (defined $says) { like($stderr, qr/warning: the clock of the server is $says that of this host/, '… and that is said') }
	else               { unlike($stderr, qr/clock/, '… is nothing to mention') }
	my $backups = run_json([ 'pitr-catalog', $repo->options, 'list', '--json' ], '… the backup is listed');
	my ($newest) = grep { !$seen{ $_->{label} }++ } @{ $backups->{backups} };
	my $fact = run_json([ 'pitr-catalog', $repo->options, 'show', $newest->{label}, '--json' ], '… and shown');
	my $differs = $fact->{finished_us} / 1000000 - time - $ahead;
	ok(abs $differs < 4, "… with the server's times") or diag "off by $differs s";
}

done_testing();
