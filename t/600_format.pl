#!/usr/bin/perl
# The repository format: what was written stays readable, damage is named, and a second implementation, written from
# docs/format.md alone (t/format/pitr_format.py), understands the first and is understood.
# sanitizer: yes
use strict;
use warnings;
use File::Basename qw(dirname);
use File::Temp qw(tempdir);
use Test::More;

my $top = dirname(__FILE__) . '/..';
my $tool = ($ENV{TEST_PITR_BIN} // "$top/build/bin") . '/../tools/object_tool';
my $python = "/usr/bin/python3 -B $top/t/format/pitr_format.py";
my $golden = "$top/t/golden/v0";
my $work = tempdir(CLEANUP => 1);

my $repository = '00112233445566778899aabbccddeeff';
my $system = '7000000000000000001';
my $name = "main/$system/main/wal/00000001/00000000/000000010000000000000003";

sub slurp {
	my ($path) = @_;
	open my $file, '<:raw', $path or die "$path: $!";
	local $/;
	return scalar <$file> // '';
}

sub spew {
	my ($path, $content) = @_;
	open my $file, '>:raw', $path or die "$path: $!";
	print $file $content or die;
	close $file or die "$path: $!";
	return $path;
}

# Runs in a shell; answers (exit status, stdout, first line of stderr).
sub run {
	my ($command, $input) = @_;
	my $status = system("$command < $input > $work/out 2> $work/err");
	my ($first) = split /\n/, slurp("$work/err");
	return ($status >> 8, slurp("$work/out"), $first // '');
}

sub key_file {
	my ($key) = @_;
	return '-' if $key eq '-';
	my $copy = "$work/$key";
	unless (-e $copy) {
		spew($copy, slurp("$golden/$key"));
		chmod 0600, $copy; # a checkout does not keep it
	}
	return $copy;
}

# Each row with both implementations; $answers is what the second one said.
sub golden {
	my ($row, $answers) = @_;
	my ($object, $key, $row_system, $kind, $row_name, $expected) = split /\t/, $row;
	my $recipient = $key eq 'keys' && $kind != 3 ? "$golden/recipient.obj" : '';
	my ($status, $out, $err) =
	  run("$tool open " . key_file($key) . " '$row_name' $row_system $kind $recipient", "$golden/$object");
	my $answer = $answers->{$object} // '';

	if ($expected =~ /^plain (.*)/) {
		ok($status == 0 && $out eq slurp("$golden/$1"), "$object opens") or diag($err);
		is($answer, 'same', "$object opens with the second implementation");
		return;
	}
	my ($error, $sentence) = $expected =~ /^(\w+) (.*)/ or die $row;
	ok($status == 1 && $out eq '' && index($err, "$error: ") == 0 && index($err, $sentence) > 0,
		"$object: $expected") or diag("$status $err");
	like($answer, qr/^$error: /, "$object: $error for the second implementation");
}

# What one writes, the other opens.
sub both_ways {
	my ($codec, $class, $key, $size) = @_;
	my $file = key_file($key);
	my $plain = spew("$work/plain", substr(join('', map { sprintf '%d %s ', $_, $_ % 7 ? 'row' : rand } 1 .. 3000), 0, $size));
	my $meta = spew("$work/meta", '{"host":"db1"}');
	my ($epoch, $public) = $key ne '-' && $class ? (1, repository_public()) : (0, '00' x 32);
	my $recipient = $key ne '-' && $class ? "$golden/recipient.obj" : '';
	my $option = $recipient ? "--recipient $recipient" : '';
	my $what = "$codec, class $class, " . ($key eq '-' ? 'no key' : 'key') . ", $size bytes";

	my ($status, $object, $err) =
	  run("$tool seal $file $name $system 4 $class $codec 12 $repository $epoch $public $meta", $plain);
	spew("$work/object", $object);
	my ($open_status, $opened, $open_err) =
	  run("$python open $file $work/object $name --system-id $system $option", '/dev/null');
	my (undef, $summary) = run("$python meta $file $work/object $name --system-id $system", '/dev/null');
	ok($status == 0 && $open_status == 0 && $opened eq slurp($plain) && $summary eq slurp($meta),
		"$what: C seals, Python opens") or diag("$err $open_err");

	($status, $object, $err) = run("$python seal $file $name --system-id $system --kind 4 --class $class --codec $codec "
		  . "--frame-log2 12 --repository-id $repository --epoch $epoch --public $public --meta $meta", $plain);
	spew("$work/object", $object);
	($open_status, $opened, $open_err) = run("$tool open $file $name $system 4 $recipient", "$work/object");
	(undef, $summary) = run("$tool meta $file $name $system 4", "$work/object");
	ok($status == 0 && $open_status == 0 && $opened eq slurp($plain) && $summary eq slurp($meta),
		"$what: Python seals, C opens") or diag("$err $open_err");
}

sub repository_public {
	my ($public) = slurp("$golden/epoch.plain") =~ /"public":"([0-9a-f]{64})"/ or die;
	return $public;
}

plan skip_all => 'no /usr/bin/python3 with cryptography and lz4'
  if system('/usr/bin/python3 -c "import cryptography, lz4.block" 2> /dev/null') != 0;

die "$tool is missing: make build/tools/object_tool\n" unless -x $tool;
key_file($_) for 'keys', 'keys.host', 'keys.other';
my ($status, $said, $err) = run("/usr/bin/python3 -B $top/t/format/check_golden.py $golden $work", '/dev/null');
is($status, 0, 'the second implementation reads the index') or diag($err);
my %answers = map { split /\t/, $_, 2 } split /\n/, $said;
golden($_, \%answers) for split /\n/, slurp("$golden/index");
for my $key ('keys', '-') {
	for my $codec ('none', 'lz4', 'zstd') {
		both_ways($codec, 1, $key, 9000);
		both_ways($codec, 0, $key, 4096);
	}
	both_ways('lz4', 1, $key, 0);
}
done_testing();
