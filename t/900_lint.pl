#!/usr/bin/perl
# The rules of the source hold, and each of the programs that check them sees a violation when there is one.
use strict;
use warnings;

use Cwd qw(realpath);
use File::Basename qw(dirname);
use File::Path qw(make_path);
use File::Temp qw(tempdir);
use Test::More;

my $root = realpath(dirname(__FILE__) . '/..');

sub lint {
	my ($program, $tree) = @_;
	my $output = qx{'$root/tools/$program' '$tree' 2>&1};
	return ($? >> 8, $output);
}

for my $program (qw(lint-layers.sh lint-doors.pl lint-sizes.sh lint-headers.sh)) {
	my ($status, $output) = lint($program, $root);
	is($status, 0, "$program finds nothing") or diag($output);
}

# program, file of the planted tree, its content, what must be said (undef: nothing may be said)
my $header = "/* What it is. */\n#pragma once\n";
my $long   = "int f(void)\n{\n" . "\tf();\n" x 80 . "\treturn 0;\n}\n";
my @planted = (
	[ 'lint-layers.sh', 'lib/base/fs.c', qq(#include "pg/timeline.h"\n), qr{fs\.c:1: "base" may not include "pg/timeline\.h"} ],
	[ 'lint-layers.sh', 'lib/codec/lz4.c', qq(\n#include "storage/storage.h"\n), qr{lz4\.c:2: "codec" may not include} ],
	[ 'lint-layers.sh', 'lib/pg/tar.c', qq(#include "repo/layout.h"\n), qr{"pg" may not include} ],
	[ 'lint-layers.sh', 'lib/repo/repo.c', qq(#include "storage/storage.h"\n#include "pg/timeline.h"\n), undef ],
	[ 'lint-layers.sh', 'restore/step.c', qq(#include "repo/layout.h"\n#include "plan/plan.h"\n), undef ],
	[ 'lint-layers.sh', 'restore/files/tree.c', qq(#include "plan/plan.h"\n), qr{"restore/files" may not include "plan/plan\.h"} ],
	[ 'lint-layers.sh', 'lib/misc/x.c', qq(#include "base/fs.h"\n), qr{folder "misc" is not in the drawing} ],
	[ 'lint-layers.sh', 'lib/base/fs.h', qq(${header}#include "base/buf.h"\n), qr{include one another} ],
	[ 'lint-layers.sh', 'extension/bkp/bkp.c', qq(#include "access/xlog.h"\n#include "pg/timeline.h"\n), undef ],
	[ 'lint-layers.sh', 'extension/bkp/bkp.c', qq(\n#include "base/fs.h"\n), qr{bkp\.c:2: "base/fs\.h" may not be included in a server process} ],
	[ 'lint-doors.pl', 'extension/bkp/bkp.c', "#include \"postgres.h\"\n#include <errno.h>\n", undef ],
	[ 'lint-doors.pl', 'extension/bkp/bkp.c', "#include <pthread.h>\n", qr{<pthread\.h>: no network and no threads in a server process} ],
	[ 'lint-doors.pl', 'lib/storage/s3.c', "#include <curl/curl.h>\n", qr{s3\.c:1: <curl/curl\.h> is included by lib/storage/http\.c alone} ],
	[ 'lint-doors.pl', 'lib/storage/http.c', "#include <curl/curl.h>\n", undef ],
	[ 'lint-doors.pl', 'lib/repo/repo.c', "#include <libpq-fe.h>\n", qr{libpq-fe\.h} ],
	[ 'lint-doors.pl', 'lib/repo/repo.c', "#include <openssl/evp.h>\n", qr{openssl/evp\.h} ],
	[ 'lint-doors.pl', 'lib/repo/repo.c', "#include <jansson.h>\n", qr{jansson\.h} ],
	[ 'lint-doors.pl', 'lib/storage/s3.c', "#include <expat.h>\n", qr{expat\.h} ],
	[ 'lint-doors.pl', 'lib/codec/zstd.c', "#include <lz4frame.h>\n", qr{lz4frame\.h} ],
	[ 'lint-doors.pl', 'lib/pg/tar.c', "#include \"postgres_fe.h\"\n", qr{postgres_fe\.h} ],
	[ 'lint-doors.pl', 'lib/repo/repo.c', "x = rename(a, b);\n", qr{rename\(\) is called by lib/base/fs\.c\|lib/base/fs_sync\.c alone} ],
	[ 'lint-doors.pl', 'lib/base/fs.c', "x = rename(a, b);\n", undef ],
	[ 'lint-doors.pl', 'lib/storage/storage.c', "storage->remove(x); storage.rename (x); fs_rename(a); our_exit(1);\n", undef ],
	[ 'lint-doors.pl', 'lib/storage/storage.c', "/* exit(1) */ // time(NULL)\n\"unlink(\";\n", undef ],
	[ 'lint-doors.pl', 'lib/storage/storage.c', "/* two\nlines */ fsync(1);\n", qr{storage\.c:2: fsync} ],
	[ 'lint-doors.pl', 'lib/repo/lease.c', "t = time(NULL);\n", qr{time\(\) is called by lib/base/clock\.c alone} ],
	[ 'lint-doors.pl', 'restore/main.c', "exit(1);\n", undef ],
	[ 'lint-doors.pl', 'restore/plan/plan.c', "exit(1);\n", qr{exit\(\)} ],
	[ 'lint-doors.pl', 'restore/plan/plan.c', "a; goto out;\n", qr{goto} ],
	(map { [ 'lint-doors.pl', 'lib/base/buf.c', "$_(x);\n", qr{buf\.c:1: $_\(\) is called by nobody} ] }
		qw(strcpy strcat sprintf strtok gmtime localtime strncpy alloca gets system popen atoi)),
	[ 'lint-sizes.sh', 'lib/base/buf.c', $long, qr{buf\.c:1: f\(\) has 84 lines; at most 70} ],
	[ 'lint-sizes.sh', 'lib/base/buf.c', "\n" x 801, qr{buf\.c:1: the file has 801 lines; at most 800} ],
	[ 'lint-sizes.sh', 'lib/base/buf.c', "\n" x 800, undef ],
	[ 'lint-headers.sh', 'lib/base/buf.h', "${header}size_t x(void);\n", qr{buf\.h: does not compile alone with clang} ],
	[ 'lint-headers.sh', 'lib/base/buf.h', "/* What it is. */\nint x(void);\n", qr{must say #pragma once} ],
	[ 'lint-headers.sh', 'lib/base/buf.h', "#pragma once\nint x(void);\n", qr{must open with a paragraph} ],
	[ 'lint-headers.sh', 'lib/base/buf.h', "${header}int x(void);\n", undef ],
	[ 'lint-headers.sh', 'extension/bkp/rows.h', "${header}Datum x(void);\n", undef ],
	[ 'lint-headers.sh', 'extension/bkp/rows.h', "${header}bool x(json_t *y);\n", qr{rows\.h: does not compile alone with gcc} ],
);
for my $row (@planted) {
	my ($program, $path, $content, $expected) = @$row;
	my $tree = tempdir(CLEANUP => 1);
	make_path(map { "$tree/$_" } qw(lib/base lib/pg lib/storage lib/repo lib/codec t), dirname($path));
	my %file = ('lib/base/buf.h' => qq(${header}#include "base/fs.h"\n), $path => $content,
		'extension/pure.mk' => "PURE := base/buf pg/timeline\n");
	$file{$_} //= $header for qw(lib/pg/timeline.h lib/storage/storage.h lib/repo/layout.h lib/base/fs.h restore/plan/plan.h);
	$file{'lib/base/buf.h'} = $header unless $path eq 'lib/base/fs.h' || $path eq 'lib/base/buf.h';
	for my $name (keys %file) {
		make_path(dirname("$tree/$name"));
		open my $handle, '>', "$tree/$name" or die "could not create \"$name\": $!\n";
		print $handle $file{$name};
		close $handle or die "could not write \"$name\": $!\n";
	}
	my ($status, $output) = lint($program, $tree);
	my $title = "$program: $path: " . substr($content =~ s/\n/ /gr, 0, 60);
	if   (defined $expected) { ok($status == 1 && $output =~ $expected, "$title is refused") or diag("$status: $output") }
	else                     { is("$status$output", '0', "$title is fine") }
}

done_testing();
