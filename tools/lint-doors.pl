#!/usr/bin/perl
# One door per foreign library, and functions that are not called at all.    tools/lint-doors.pl [TREE]
#
# Looks at code only: comments and the inside of strings do not count. The third column says what to call instead.
use strict;
use warnings;

use File::Basename qw(dirname);
use File::Find qw(find);

chdir($ARGV[0] // dirname(__FILE__) . '/..') or die "could not enter the tree: $!\n";

# header, the files that may include it, what others use
my @headers = (
	[ qr{^curl/},                       qr{^lib/storage/http\.c$},                       'storage/http.h' ],
	[ qr{^libpq-fe\.h$|^libpq/},        qr{^lib/pg/replication\.c$},                     'pg/replication.h' ],
	[ qr{^openssl/},                    qr{^lib/(codec/(seal|keys)|base/hash)\.c$}, 'base/hash.h or codec/' ],
	[ qr{^jansson\.h$},                 qr{^lib/base/json\.[ch]$},                       'base/json.h' ],
	[ qr{^expat\.h$},                   qr{^lib/storage/s3_xml\.c$},                     'storage/s3_xml.h' ],
	[ qr{^lz4},                         qr{^lib/codec/lz4\.c$},                          'codec/lz4.h' ],
	[ qr{^zstd},                        qr{^lib/codec/zstd\.c$},                         'codec/zstd.h' ],
	[ qr{^(postgres.*\.h|pg_config.*\.h|c\.h|fmgr\.h|port/.*|access/.*|storage/(checksum|bufpage)[^/]*)$},
		qr{^lib/pg/(crc32c|page_checksum)\.c$|^extension/},                          'lib/pg: declare what is read' ],
	[ qr{^setjmp\.h$|^alloca\.h$|^features\.h$}, qr{^$},                                 'nothing' ],
);

my $fs    = qr{^lib/base/fs\.c$|^lib/base/fs_sync\.c$};
my $clock = qr{^lib/base/clock\.c$};
my $exit  = qr{(^|/)main\.c$|^lib/base/exit\.c$};
my $never = qr{^$};

# function, the files that may call it, what others call
my @functions = (
	[ [qw(fsync fdatasync syncfs sync_file_range rename renameat renameat2 unlink unlinkat remove link linkat)],
		$fs, 'a function of base/fs.h' ],
	[ [qw(time gettimeofday clock_gettime clock localtime_r gmtime_r mktime timegm nanosleep clock_nanosleep usleep sleep)],
		$clock, 'a function of base/clock.h' ],
	[ [qw(exit quick_exit _Exit)], $exit, 'return the error' ],      # _exit is how a forked child ends
	[ [qw(strcpy stpcpy strcat strncpy strncat sprintf vsprintf gets)], $never, 'snprintf or struct buf' ],
	[ [qw(strtok)],                  $never, 'strtok_r or strchr' ],
	[ [qw(gmtime localtime ctime asctime strftime_l)], $never, 'a function of base/clock.h' ],
	[ [qw(atoi atol atoll atof)],    $never, 'strtoull with its errors checked' ],
	[ [qw(alloca)],                  $never, 'malloc with a bound' ],
	[ [qw(system popen wordexp)],    $never, 'posix_spawn: no shell' ],
	[ [qw(signal)],                  qr{^lib/base/exit\.c$}, 'sigaction' ],
	[ [qw(rand srand random srandom drand48 rand_r)], $never, 'a function of base/random.h' ],
	[ [qw(tmpnam tempnam mktemp)],   $never, 'fs_publish or fs_open_new' ],
	[ [qw(setjmp longjmp sigsetjmp siglongjmp)], $never, 'return the error' ],
	[ [qw(strerror)],                qr{^lib/base/(error|workers)\.c$|^extension/}, 'fail_errno' ],
	[ [qw(perror)],                  $never, 'fail_errno' ],
	[ [qw(readdir_r gethostbyname inet_ntoa)], $never, 'the variant that is safe with threads' ],
);

# What has no place in a server process, whichever library it is from.
my $not_in_server = qr{^(pthread|threads|netdb|curl/.*|libpq.*|openssl/.*)\.h$|^(netinet|arpa)/};

my @bad;

sub complain {
	my ($path, $line, $text) = @_;
	push @bad, "$path:$line: $text\n";
	return;
}

# The file with comments and the inside of strings taken out; line numbers stay.
sub code_of {
	my ($path) = @_;
	open my $file, '<', $path or die "could not open \"$path\": $!\n";
	local $/;
	my $text = <$file>;
	$text =~ s{
		( /\* .*? \*/ | //[^\n]* )                                   # a comment
		| ^([ \t]*\#[ \t]*include[^\n]*)                             # kept: the name is what counts
		| "((?:[^"\\\n]|\\.)*)" | '((?:[^'\\\n]|\\.)*)'
	}{
		defined $1 ? $1 =~ tr/\n//cdr : defined $2 ? $2 : '""'
	}gsmex;
	return split /\n/, $text, -1;
}

sub check_include {
	my ($path, $number, $header) = @_;
	complain($path, $number, "<$header>: no network and no threads in a server process")
	  if $path =~ m{^extension/} && $header =~ $not_in_server;
	for my $rule (@headers) {
		my ($name, $door, $instead) = @$rule;
		complain($path, $number, "<$header> is included by " . words($door) . "; use $instead")
		  if $header =~ $name && $path !~ $door;
	}
	return;
}

sub words {
	my ($pattern) = @_;
	my $text = "$pattern";
	$text =~ s/^\(\?\^?:(.*)\)$/$1/;
	return $text eq '^$' ? 'nobody' : ($text =~ s/[\^\$\\]//gr) . ' alone';
}

my %rule_of;
for my $rule (@functions) {
	$rule_of{$_} = $rule for @{ $rule->[0] };
}

sub check_line {
	my ($path, $number, $line) = @_;
	if ($line =~ /^\s*#\s*include\s*[<"]([^>"]+)[>"]/) {
		check_include($path, $number, $1);
		return;
	}
	complain($path, $number, 'goto: use the cleanup attributes, or a function') if $line =~ /\bgoto\b/;
	# A call: not a member of something, not the end of a longer name, not a declaration "bool rename(".
	while ($line =~ /(?<![\w.])(?<!->)(\w+)\s*\(/g) {
		my $rule = $rule_of{$1} or next;
		my (undef, $door, $instead) = @$rule;
		complain($path, $number, "$1() is called by " . words($door) . "; use $instead") if $path !~ $door;
	}
	return;
}

my @paths;
find({ no_chdir => 1, wanted => sub { push @paths, $_ =~ s{^\./}{}r if /\.[ch]$/ } },
	grep { -d } qw(lib archive_command restore_command basebackup restore catalog extension));
for my $path (sort @paths) {
	my $number = 0;
	check_line($path, ++$number, $_) for code_of($path);
}
print STDERR @bad;
exit(@bad ? 1 : 0);
