# CREATE TABLESPACE in the WAL: replay makes the directory it names, by the path it had on the source. On the source's
# own machine that is a live tablespace, which the copy would take over: pitr-restore refuses before it writes.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use File::Find ();
use Pitr;

sub files_of {
	my ($directory) = @_;
	my %files;
	File::Find::find({ no_chdir => 1, wanted => sub { $files{$_} = (stat $_)[9] . '/' . (stat _)[7] if -f $_ } }, $directory);
	return \%files;
}

for my $version (pg_versions()) {
	my $repo    = repo("pg$version");
	my $node    = cluster("pg$version", version => $version, repo => $repo, initdb => ['--wal-segsize=1']);
	my $space   = directory("pg$version/later");
	my @options = $repo->options;
	my $title   = "PostgreSQL $version";
	my $never   = "$Pitr::TEST_DIRECTORY/never$version";

	run_ok([ 'pitr-basebackup', @options, $node->connection, '--checkpoint=fast' ], "$title: a backup");
	$node->query('CREATE TABLE kept AS SELECT g AS id FROM generate_series(1, 77) g');
	$node->switch_wal;
	$node->query("CREATE TABLESPACE later LOCATION '$space'");
	$node->query('CREATE TABLE in_later TABLESPACE later AS SELECT g AS id FROM generate_series(1, 1234) g');
	my $oid = $node->query("SELECT oid FROM pg_tablespace WHERE spcname = 'later'");
	$node->archive_all;
	$node->query('CHECKPOINT');
	my $before = files_of($space);

	my $said = run_fails([ 'pitr-restore', @options, '-D', $never ], 2,
		qr/would create tablespace $oid in "\Q$space\E" \(LSN 0\/[0-9A-F]+\), a directory that is in use.*\n.*hint: .*-T/,
		"$title: the latest is refused on the machine where the tablespace lives");
	run_fails([ 'pitr-restore', @options, '--dry-run' ], 2, qr/would create tablespace $oid/, '… by a dry run too');
	run_fails([ 'pitr-restore', @options, '--standby', '-D', $never ], 2, qr/would create tablespace $oid/, '… and as a standby');
	run_fails([ 'pitr-restore', @options, '-D', $never, '-T', "$space=$never.later" ], 2, qr/would create tablespace $oid/,
		'… and -T does not help');
	ok(!-e $never, '… and nothing was written');
	is_deeply(files_of($space), $before, '… nor was anything in the tablespace');

	my ($way_out) = $said =~ /(--target-lsn=\S+ --target-exclusive)/;
	ok(defined $way_out, 'the message names a target before it') or next;
	my $early = restore("early$version", source => $node, repo => $repo, target => [ split / /, $way_out ]) or next;
	is($early->query('SELECT count(*) FROM kept'), '77', 'that target is restored');
	is($early->query("SELECT count(*) FROM pg_tablespace WHERE spcname = 'later'"), '0', '… without the tablespace');
	$early->stop;
	my ($lsn) = $way_out =~ /lsn=(\S+)/;
	run_fails([ 'pitr-restore', @options, '-D', $never, "--target-lsn=$lsn" ], 2, qr/would create tablespace $oid/,
		'a target that includes the record is refused');
	# PostgreSQL stops behind the first record that begins at an LSN or behind it: this one, though its LSN is greater.
	my $odd = sprintf '0/%X', hex($lsn =~ s/.*\///r) - 4;
	run_fails([ 'pitr-restore', @options, '-D', $never, "--target-lsn=$odd" ], 2, qr/would create tablespace $oid/,
		'… and so is one between the record before and it');
	run_ok([ 'pitr-restore', @options, '--dry-run', "--target-lsn=$odd", '--target-exclusive' ], '… but not without the record');

	is($node->query('SELECT count(*) FROM in_later'), '1234', 'the live server has its rows');
	$node->stop;
	rename $space, "$space.aside" or die "could not rename \"$space\": $!\n";
	run_fails([ 'pitr-restore', @options, '-D', $never ], 2,
		qr/would create tablespace $oid in "\Q$space\E" .*, a directory that does not exist\n.*hint: Create it, empty/,
		'where the directory is missing, replay would fail: that is refused too');
	mkdir $space, 0700 or die "could not create \"$space\": $!\n";
	write_file("$space/note", '');
	run_fails([ 'pitr-restore', @options, '-D', $never ], 2, qr/in use/, 'a directory with anything in it is in use');
	unlink "$space/note";
	ok(!-e $never, 'still nothing was written');
	my $copy = restore("copy$version", source => $node, repo => $repo) or next;
	is($copy->query('SELECT (SELECT count(*) FROM kept), (SELECT count(*) FROM in_later)'), '77|1234',
		'with an empty directory in its place the latest is restored, tablespace included');
	is(readlink($copy->data_dir . "/pg_tblspc/$oid"), $space, '… at the path it had');
	is_deeply([ map { s/^\Q$space.aside\E//r } sort keys %{ files_of("$space.aside") } ],
		[ map { s/^\Q$space\E//r } sort keys %$before ], '… and the old one keeps its files');
	$copy->stop;
}
# A summary keeps eight, and of a record that crosses segments not the whole path: the records are read then.
{
	my $version = newest_version();
	my $repo    = repo('many', key => 1);
	my $node    = cluster('many', version => $version, repo => $repo, initdb => ['--wal-segsize=1']);
	my @options = $repo->options;
	my $never   = "$Pitr::TEST_DIRECTORY/never_many";
	my $backup  = sub { run_ok([ 'pitr-basebackup', @options, $node->connection, '--checkpoint=fast' ], $_[0]) };

	$backup->('a backup of an encrypted repository');
	$node->switch_wal;
	my @spaces = map { directory("many/$_") } 1 .. 12;
	$node->query("CREATE TABLESPACE s$_ LOCATION '$spaces[$_]'") for 0 .. 11;
	$node->query("DROP TABLESPACE s$_") for 0 .. 8, 10, 11;
	$node->archive_all;
	run_fails([ 'pitr-restore', @options, '-D', $never ], 2, qr/would create tablespace \d+ in "\Q$spaces[9]\E"/,
		'the tenth of twelve in one segment is found');
	$node->query('DROP TABLESPACE s9');
	$node->archive_all;
	run_ok([ 'pitr-restore', @options, '--dry-run' ], 'a directory that is empty again may be used');

	# Messages push the record to the end of its segment, so that the path begins or goes on in the next one.
	my $long = directory('many/' . join '/', map { $_ x 200 } 'a', 'b', 'c');
	$backup->('another backup');
	my $left = sub { 1048576 - $node->query("SELECT (pg_current_wal_insert_lsn() - '0/0') % 1048576") };
	$node->switch_wal;
	# What is first changed after a checkpoint is logged whole: that comes before.
	$node->query("CREATE TABLESPACE s0 LOCATION '$spaces[0]'");
	$node->query('DROP TABLESPACE s0');
	while ((my $bytes = $left->()) > 700) {
		my $size = $bytes > 20000 ? 15000 : $bytes > 1500 ? 500 : 50;
		$node->query("SELECT pg_logical_emit_message(false, 'fill', repeat('x', $size))");
	}
	my $begins = $node->query("SELECT pg_walfile_name(pg_current_wal_insert_lsn())");
	$node->query("CREATE TABLESPACE crossing LOCATION '$long'");
	isnt($node->query("SELECT pg_walfile_name(pg_current_wal_insert_lsn())"), $begins, 'a tablespace is created at the edge of a segment');
	$node->archive_all;
	my $said = run_fails([ 'pitr-restore', @options, '-D', $never ], 2, qr/would create tablespace \d+ in "\Q$long\E" \(LSN/,
		'… and found');
	# It must be the record itself that crosses, or nothing was shown.
	my ($lsn) = $said =~ /\(LSN 0\/(\w+)\)/;
	cmp_ok(1048576 - hex($lsn // 0) % 1048576, '<', 650, '… in a record that crosses');
	ok(!-e $never, '… and nothing was written');
	$node->stop;
}
done_testing();
