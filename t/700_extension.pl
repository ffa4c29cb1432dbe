#!/usr/bin/perl
# The extension as a thing that is built, installed and loaded, for every major: what it puts where, what it shows of
# itself to the server, that it can be created, upgraded and dropped, and its own suites of pg_regress. What its functions
# say is t/710, what the archive module does t/720.
use strict;
use warnings;

use Pitr;

my $tree = $Pitr::ROOT;

sub pg_config {
	my ($version) = @_;
	return Pitr::Cluster::install_directory($version) . '/bin/pg_config';
}

sub lines {
	my ($text) = @_;
	return sort grep { length } split /\n/, $text;
}

# --- building and installing -------------------------------------------------------------------------------------------

# Names that the dynamic linker sees: defined by the library, or wanted of others and without a version.
sub symbols {
	my ($library, $kind) = @_;
	my $out = run_ok([ 'nm', '-D', "--$kind-only", $library ], "nm lists the $kind symbols of $library");
	return sort grep { !/@/ } map { (split)[-1] } grep { !/ w / } lines($out);
}

{
	my $version = newest_version();
	my $root    = directory('root');
	my $objects = directory('objects');
	my @make    = ('make', '-s', '--no-print-directory', '-C', $tree, "BUILD=$objects",
		'PG_CONFIG=' . pg_config($version), 'PREFIX=/opt/pitr');
	run_ok([ @make, 'install-extension', "DESTDIR=$root" ], 'make install-extension into DESTDIR', timeout => 300);

	my %directory = map { chomp(my $path = run_ok([ pg_config($version), "--$_" ], "pg_config --$_")); $_ => $path }
	  qw(pkglibdir sharedir);
	my @installed = map { s/^\Q$root\E//r } lines(run_ok([ 'find', $root, '-type', 'f' ], 'what was installed'));
	my @versions  = map { s{.*/}{}r } glob "$tree/extension/bkp/bkp--*.sql";
	is_deeply(\@installed,
		[ sort((map { "$directory{pkglibdir}/$_" } qw(bkp.so pitr_archive.so)),
			map { "$directory{sharedir}/extension/$_" } 'bkp.control', @versions) ],
		'the libraries, the control file and every script are where PostgreSQL looks for them, and nothing else is');

	my %library = map { $_ => "$root$directory{pkglibdir}/$_.so" } qw(bkp pitr_archive);
	ok(index(read_file($library{pitr_archive}), "\0/opt/pitr/libexec/pitr/pitr-archiver\0") >= 0,
		'the archive module runs the pitr-archiver of PREFIX');
	for my $name (sort keys %library) {
		my @unknown = grep { !/^(Pg_magic_func|_PG_init|_PG_archive_module_init|(pg_finfo_)?bkp_\w+)$/ }
		  symbols($library{$name}, 'defined');
		is_deeply(\@unknown, [], "$name.so defines nothing but what the server asks for");
		my @foreign = grep { /^(pthread_|socket$|connect$|getaddrinfo|curl_|SSL_|EVP_|json_object$)/ }
		  map { s/@.*//r } map { (split)[-1] } lines(run_ok([ 'nm', '-D', '--undefined-only', $library{$name} ], 'nm'));
		is_deeply(\@foreign, [], "$name.so calls no threads, no network, no TLS");
	}

	# A library that wants what nobody has is refused by the build, not by the server at night.
	my $wants = directory('wants');
	write_file("$wants/wants.c", "int fs_read_file(void);\nint f(void);\nint f(void) { return fs_read_file(); }\n");
	run_ok([ 'cc', '-shared', '-fPIC', '-o', "$wants/wants.so", "$wants/wants.c" ], 'a library that lacks a file of lib/');
	run_fails([ "$tree/extension/check-symbols.sh", "$wants/wants.so", pg_config($version) ], 1,
		qr/defined neither here nor by the server: fs_read_file$/m, 'it is refused, with the name of the symbol');
}

# --- on every major ----------------------------------------------------------------------------------------------------

my $functions = q{SELECT p.oid::regprocedure || ' ' || p.prorettype::regtype || ' ' ||
		coalesce(array_to_string(p.proargnames, ','), '') || ' ' || coalesce(p.proacl::text, 'PUBLIC') || ' ' ||
		coalesce(p.proconfig::text, 'no configuration') || ' ' || p.prosecdef
	FROM pg_depend d JOIN pg_proc p ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid
	JOIN pg_extension e ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid
	WHERE e.extname = 'bkp' ORDER BY 1};

sub check_scripts {
	my ($node, $version) = @_;
	my $first  = $node->query("SELECT min(version) FROM pg_available_extension_versions WHERE name = 'bkp'");
	my $newest = $node->query("SELECT default_version FROM pg_available_extensions WHERE name = 'bkp'");
	$node->query('CREATE EXTENSION bkp');
	is($node->query("SELECT extversion FROM pg_extension WHERE extname = 'bkp'"), $newest, "$version: CREATE EXTENSION bkp");
	my $created = $node->query($functions);
	like($created, qr/bkp_catalog\(\)/, "$version: it has functions");
	unlike($created, qr/ PUBLIC | \{=X|,=X/, "$version: PUBLIC may call none of them");
	is_deeply([ grep { !/search_path=pg_catalog/ } lines($created) ], [], "$version: each has its search_path pinned");
	$node->query('DROP EXTENSION bkp');
	is($node->query(q{SELECT count(*) FROM pg_proc WHERE proname LIKE 'bkp\_%'}), 0, "$version: DROP EXTENSION leaves nothing");

	$node->query("CREATE EXTENSION bkp VERSION '$first'");
	$node->query('ALTER EXTENSION bkp UPDATE');
	is($node->query($functions), $created, "$version: from $first upgraded to $newest it is what $newest creates");
	$node->query('DROP EXTENSION bkp');
	return;
}

# Its output is shown when it fails, with the differences.
sub check_regress {
	my ($node, $version) = @_;
	my $objects = directory("objects$version");
	my ($status, $stdout, $stderr) = run_program(
		[ 'make', '--no-print-directory', '-C', "$tree/extension", "BUILD=$objects", 'PG_CONFIG=' . pg_config($version),
			'installcheck' ],
		env => { PGHOST => $node->host, PGPORT => $node->port, PGUSER => undef, PGDATABASE => undef }, timeout => 300);
	my $differences = "$objects/bkp/regression.diffs";
	ok($status == 0 && $stdout =~ /^# All [1-9]\d* tests passed|^ All [1-9]\d* tests passed/m, "$version: make installcheck")
	  or diag("status $status\n$stdout$stderr" . (-e $differences ? read_file($differences) : ''));
	return;
}

# A module of the test's own, built as ours are, that makes the mistake which an assert() of lib/ is there for.
sub check_assertion {
	my ($node, $version) = @_;
	my $base = directory('mistaken');
	mkdir "$base/$_" for qw(extension extension/mistaken);
	symlink "$tree/$_", "$base/$_" for 'Makefile', 'lib', map { "extension/$_" } qw(module.mk pure.mk exports.map assert check-symbols.sh);
	write_file("$base/extension/mistaken/Makefile", "MODULE_big = mistaken\ninclude \$(VPATH)/../module.mk\n");
	write_file("$base/extension/mistaken/mistaken.c", <<'C');
#include "postgres.h"

#include "fmgr.h"

#include "base/buf.h"

PG_MODULE_MAGIC;
PG_FUNCTION_INFO_V1(bkp_mistaken);

Datum bkp_mistaken(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32((int32) bytes_slice(bytes_of("abc", 3), 0, (size_t) PG_GETARG_INT32(0)).size);
}
C
	my $objects = directory('mistaken-objects');
	run_ok([ 'make', '-s', '-C', $objects, '-f', "$base/extension/mistaken/Makefile", "VPATH=$base/extension/mistaken",
			'PG_CONFIG=' . pg_config($version), 'PREFIX=/opt/pitr' ], "$version: a module with a mistake is built");
	$node->query("CREATE FUNCTION mistaken(int) RETURNS int STRICT LANGUAGE C AS '$objects/mistaken', 'bkp_mistaken'");
	is($node->query('SELECT mistaken(3)'), 3, "$version: it works when nothing is wrong");
	my (undef, undef, $stderr) = $node->psql('postgres', 'SELECT mistaken(4)');
	like($stderr, qr/ERROR:  assertion failed: .*buf\.h line \d+/, "$version: an assertion that fails is an ERROR");
	unlike(read_file($node->logfile), qr/terminated by signal/, "$version: no process of the server dies of it");
	return;
}

for my $version (pg_versions()) {
	my $repo = repo("main$version");
	my $node = cluster("server$version", version => $version, repo => $repo, start => 0, conf => <<"SETTINGS");
archive_command = ''
archive_library = 'pitr_archive'
pitr_archive.program = '$Pitr::BIN/../libexec/pitr/pitr-archiver'
pitr_archive.config_file = '@{[ $repo->config ]}'
SETTINGS
	$node->start;
	$node->archive_all;
	is($node->query('SELECT archived_count > 0 AND failed_count = 0 FROM pg_stat_archiver'), 't',
		"$version: archive_library = 'pitr_archive' is loaded, and archives");
	check_scripts($node, $version);
	check_regress($node, $version);
	check_assertion($node, $version) if $version == newest_version();
	$node->stop;
}

done_testing();
