#!/usr/bin/perl
# The command line of every program: help, version, and what is said and answered when usage or settings are wrong.
# sanitizer: yes
#
# Needs no server. The status of a mistake is the one that the caller understands: PostgreSQL's archiver 1, a
# recovering server 200, everybody else 2.
use strict;
use warnings;

use Cwd qw(realpath);
use File::Basename qw(dirname);
use File::Temp qw(tempdir);
use IPC::Run ();
use Test::More;

my $root = realpath(dirname(__FILE__) . '/..');
my $bin  = $ENV{PITR_BIN} // "$root/build/bin";
my $dir  = tempdir(CLEANUP => 1);

delete @ENV{ grep { /^(PITR_|AWS_|PG)/ } keys %ENV };
$ENV{PITR_CONFIG} = '/dev/null';

# name => [status of wrong usage, arguments that it needs]
my %programs = (
	'pitr-archive'    => [ 1,   ['pg_wal/000000010000000000000001'] ],
	'pitr-fetch'      => [ 200, [ '000000010000000000000001', "$dir/destination" ] ],
	'pitr-basebackup' => [ 2,   [] ],
	'pitr-restore'    => [ 2,   [] ],
	'pitr-catalog'    => [ 2,   [] ],
	'pitr-check'      => [ 3,   [] ],
	'pitr-verify'     => [ 2,   [] ],
);

sub run_program {
	my ($program, @arguments) = @_;
	my ($stdout, $stderr) = ('', '');
	IPC::Run::run([ "$bin/$program", @arguments ], '<', \undef, '>', \$stdout, '2>', \$stderr, IPC::Run::timeout(60));
	return { status => $? & 127 ? 128 + ($? & 127) : $? >> 8, stdout => $stdout, stderr => $stderr };
}

# Wrong usage: this status, one line that says what is wrong, at most one that says what to do, nothing on stdout.
sub is_refused {
	my ($program, $arguments, $text, $hint, $title) = @_;
	my $status   = $programs{$program}[0];
	my $result   = run_program($program, @$arguments);
	my $expected = "$program: error: $text\n" . (defined $hint ? "$program: hint: $hint\n" : '');
	subtest "$program: $title" => sub {
		plan tests => 3;
		is($result->{status}, $status,   "exit status $status");
		is($result->{stderr}, $expected, 'the message');
		is($result->{stdout}, '',        'nothing on stdout');
	};
	return;
}

sub config_file {
	my ($text) = @_;
	my $path = "$dir/pitr.conf";
	open(my $file, '>', $path) or die "could not write $path: $!";
	print $file $text;
	close($file) or die "could not write $path: $!";
	return $path;
}

my $how_long = 'A time has a number and a unit: "30s", "5 min", "1h".';

for my $program (sort keys %programs) {
	my ($status, $needed) = @{ $programs{$program} };

	for my $flag ('--help', '-?') {
		my $help = run_program($program, $flag);
		is($help->{status}, 0, "$program $flag: exit status 0");
		like($help->{stdout}, qr/^$program .*\n\nUsage:\n  $program .*^Examples:\n/ms, "$program $flag: on stdout");
		is($help->{stderr}, '', "$program $flag: nothing on stderr");
		cmp_ok((sort { $b <=> $a } map { length } split /\n/, $help->{stdout})[0], '<=', 100,
			"$program $flag: lines fit a terminal");
	}
	for my $flag ('--version', '-V') {
		my $version = run_program($program, $flag);
		is($version->{status}, 0, "$program $flag: exit status 0");
		like($version->{stdout}, qr/\A$program \(pitr\) \d+\.\d+\.\d+\n\z/, "$program $flag: on stdout");
	}
	is(system("'$bin/$program' --help >/dev/full 2>/dev/null") >> 8,
		{ 'pitr-fetch' => 200, 'pitr-check' => 3 }->{$program} // 1, "$program --help: an answer that does not arrive is a failure");

	is_refused($program, [ '--xyzzy', @$needed ], 'unknown flag "--xyzzy"', qq(Try "$program --help".), 'unknown flag');
	is_refused($program, [ '-x', @$needed ], 'unknown flag "-x"', qq(Try "$program --help".), 'unknown letter');
	is_refused($program, [ '--endpoint=x', @$needed ], 'unknown flag "--endpoint"', 'Did you mean "--s3-endpoint"?',
		'flag that is nearly right');
	is_refused($program, ['--repo'], 'flag "--repo" needs a value', undef, 'flag without its value');
	is_refused($program, [ '--repo=', @$needed ], '"repo" needs a value', undef, 'flag with an empty value');
	is_refused($program, [ '--retry-for=5', @$needed ], 'invalid value "5" for "retry-for"', $how_long, 'bad value');
	is_refused($program, [ '--retry-for=1ms', @$needed ], 'value "1ms" for "retry-for" is out of range',
		'Use 1s to 1 day.', 'value out of range');
	is_refused($program, [ @$needed, 'more', 'and', 'many', 'words' ],
		sprintf('unexpected argument "%s"', { 'pitr-catalog' => 'words', 'pitr-verify' => 'and' }->{$program} // 'more'),
		qq(Try "$program --help".), 'too many arguments');

	local $ENV{PITR_RETRY_FOR} = '5';
	is_refused($program, $needed, 'environment variable PITR_RETRY_FOR: invalid value "5" for "retry-for"', $how_long,
		'bad value in the environment');
	delete local $ENV{PITR_RETRY_FOR};
	local $ENV{PITR_KEYFILE} = '/key';
	is_refused($program, $needed, 'environment variable PITR_KEYFILE: unknown setting "keyfile"',
		'Did you mean "key-file"?', 'unknown name in the environment');
	delete local $ENV{PITR_KEYFILE};

	my $path = config_file("repo = $dir/repo\n\ncompres = lz4\n");
	is_refused($program, [ "--config=$path", @$needed ],
		qq(configuration file "$path" line 3: unknown setting "compres"), 'Did you mean "compress"?',
		'unknown name in the file');
	config_file("repo = $dir/repo\nretry-for = soon\n");
	is_refused($program, [ "--config=$path", @$needed ],
		qq(configuration file "$path" line 2: invalid value "soon" for "retry-for"), $how_long, 'bad value in the file');
	config_file("# where\nrepo $dir/repo\n");
	is_refused($program, [ "--config=$path", @$needed ],
		qq(configuration file "$path" line 2: could not understand "repo $dir/repo"),
		'A line looks like: name = value', 'line that cannot be read');
	config_file("[repo far]\nrepo = s3://far/away\n");
	is_refused($program, [ "--config=$path", @$needed ],
		qq(configuration file "$path" line 1: sections of repositories are not supported yet),
		'Set "repo" at the beginning of the file or in a [cluster NAME] section.', 'section of a repository');
	is_refused($program, [ "--config=$dir/missing.conf", @$needed ],
		qq(configuration file "$dir/missing.conf" does not exist), undef, 'file that is not there');
	is_refused($program, [ "--config=$dir", @$needed ],
		qq(could not use the configuration file "$dir": it is no file), undef, 'file that is a directory');

	my $unset = run_program($program, @$needed);
	is($unset->{status}, $status, "$program without a repository: exit status $status")
	  unless $program eq 'pitr-basebackup';
}

is_refused('pitr-archive', [ '--config=' . config_file("# nothing\n") ], 'missing argument: pitr-archive WAL-PATH', 'Try "pitr-archive --help".', 'no argument');
is_refused('pitr-fetch', ['000000010000000000000001'], 'missing argument: pitr-fetch WAL-NAME DESTINATION',
	'Try "pitr-fetch --help".', 'one argument too few');
is_refused('pitr-fetch', [ '--compress=lz4', 'a', 'b' ], 'pitr-fetch has no flag "--compress"',
	'It belongs to pitr-archive, pitr-basebackup.', 'flag of another program');
is_refused('pitr-archive', [ '--compress=gzip', 'a' ], 'invalid value "gzip" for "compress"',
	'Use "lz4", "zstd" or "none", with a level as "zstd:3".', 'word that is not in the list');

done_testing();
