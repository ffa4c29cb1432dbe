#!/usr/bin/perl
# The test language itself: a test that cannot fail holds nothing. None of our programs takes part.
use strict;
use warnings;
use Pitr;

# --- servers and the oracle ---
for my $version (pg_versions()) {
	my $archive = directory("archive-$version");
	my $node    = cluster("source$version",
		version     => $version,
		log_commits => 1,
		conf        => "archive_mode = on\narchive_command = 'cp %p $archive/%f'");
	like($node->query('SELECT version()'), qr/^PostgreSQL $version\b/, "a server of version $version runs");
	is($node->query('SHOW data_checksums'), 'on', "version $version has page checksums");

	my $oracle = oracle($node);
	$node->backup('before');
	my $backup_end = $node->query('SELECT pg_current_wal_insert_lsn()');
	$oracle->load(transactions => 60);
	my @commits = grep { defined $_->{row} } $oracle->commits;
	my $rows    = $node->query('SELECT count(*) FROM oracle');
	is(scalar @commits, $rows, "version $version: every row has its commit record ($rows rows)");
	cmp_ok($rows, '<', 240, "version $version: some transactions were rolled back");
	my $clock = $node->query("SELECT count(*) FROM oracle WHERE pg_xact_commit_timestamp(xid::text::xid) IS NULL");
	is($clock, 0, "version $version: the server knows each commit's time too");

	$node->archive_all;
	my $middle = $oracle->commit_at(0.5, after => $backup_end);
	is($node->query("SELECT pg_xact_commit_timestamp('$middle->{xid}'::xid) = '$middle->{time}'::timestamptz"),
		't', "version $version: the time in the WAL is the server's");
	my @targets = (
		[ "recovery_target_time = '$middle->{time}'", { time => $middle->{time} } ],
		[ "recovery_target_time = '$middle->{time}'\nrecovery_target_inclusive = off",
			{ time => $middle->{time}, exclusive => 1 } ],
		[ "recovery_target_xid = '$middle->{xid}'", { xid => $middle->{xid} } ],
		[ "recovery_target_lsn = '$middle->{lsn}'", { lsn => $middle->{lsn} } ],
		[ "recovery_target_lsn = '$middle->{lsn}'\nrecovery_target_inclusive = off",
			{ lsn => $middle->{lsn}, exclusive => 1 } ],
	);
	# One of them per version is enough here; the first version takes all.
	@targets = $targets[0] unless $version == (pg_versions())[0] || is_full_run();
	my $number = 0;
	for my $target (@targets) {
		my ($settings, $expected) = @$target;
		my $copy = Pitr::Cluster->new("copy$version-" . $number++, install_path => $node->install_path);
		$copy->init_from_backup($node, 'before');
		$copy->append_conf('postgresql.conf', "restore_command = 'cp $archive/%f %p'\narchive_mode = off\n$settings");
		$copy->set_recovery_mode;
		$copy->begin;
		is_restored_to($copy, $oracle, $expected, "version $version: the oracle agrees with the server on " . $settings =~ s/\n/, /r);
		my $is_refused = do {
			my $one_less = join "\n", (split /\n/, $copy->query(Pitr::Oracle::rows_query()))[ 0 .. 10 ];
			$one_less ne join "\n", $oracle->expected(%$expected);
		};
		ok($is_refused, 'and would not with fewer rows');
		$copy->stop('immediate');
	}
	$node->stop('immediate');
}

# --- programs ---
is_deeply([ run_program([ 'sh', '-c', 'echo out; echo err >&2; exit 7' ]) ], [ 7, "out\n", "err\n" ], 'status, stdout, stderr');
is((run_program([ 'sh', '-c', 'kill -TERM $$' ]))[0], -15, 'a signal is not an exit status');
is((run_program([ 'sh', '-c', 'exit 143' ]))[0], 143, 'an exit status is not a signal');
is(run_ok([ 'cat' ], 'stdin is handed over', stdin => 'text'), 'text', 'and read');

# --- damage ---
my $file = directory('damage') . '/file';
my %size = (flip => 100, truncate => 50, extend => 101, zero => 100, empty => 0);
for my $kind (sort keys %size) {
	write_file($file, 'x' x 100);
	damage($file, $kind, $kind eq 'zero' ? (size => 10) : ());
	my $content = read_file($file);
	ok($content ne 'x' x 100 && length $content == $size{$kind}, "damage \"$kind\" harms the file");
}
write_file($file, 'one');
write_file("$file.other", 'two');
damage($file, 'swap', other => "$file.other");
is(read_file($file) . read_file("$file.other"), 'twoone', 'damage "swap" exchanges');
ok(!-e damage($file, 'remove'), 'damage "remove" removes');

# --- kill at every system call ---
my $place   = directory('kill');
my $careful = q{open my $f, '>', "$ARGV[0]/tmp" or die; print $f 'x' x 20000; close $f; rename "$ARGV[0]/tmp", "$ARGV[0]/final" or die};
my $hasty   = q{open my $f, '>', "$ARGV[0]/final" or die; print $f 'x' x 20000; close $f};
my $empty   = sub { unlink "$place/tmp", "$place/final" };
my $whole   = sub {
	my ($was_killed, $point) = @_;
	return 'a partial file' if -e "$place/final" && -s "$place/final" != 20000;
	return 'no file after a success' if !$was_killed && !-e "$place/final";
	return;
};
my @loader_passed = (from => qr/\Q$place\E/);
kill_at_every_syscall('a file published by rename is whole or absent', command => [ 'perl', '-e', $careful, $place ],
	before => $empty, after => $whole, @loader_passed);
{
	# A writer in place must be caught: this promise is turned round.
	my $partial = 0;
	kill_at_every_syscall('a file written in place', command => [ 'perl', '-e', $hasty, $place ], before => $empty,
		after => sub { $partial++ if defined $whole->(@_); return }, @loader_passed);
	cmp_ok($partial, '>', 0, "and a file written in place is seen to be partial ($partial times)");
}

done_testing();
