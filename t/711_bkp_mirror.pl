# The extension reads what it finds in the data directory: missing, cut at each byte, a bit wrong in each byte, of a newer
# version or another cluster, nonsense inside a right envelope, something that is no file, and a file that is replaced all
# the time. Each is the right answer, or an error that says what to do; nothing crashes and nothing waits.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use Pitr;
use Pitr::Mirror;
use JSON ();
use POSIX ();

my @READERS = ('bkp_catalog()', 'bkp_recovery_window()', "bkp_recovery_target('2026-01-01 00:30:10Z')", 'bkp_restore_points()',
	'bkp_mirror()');
my $node = cluster('mirror');
my $file = $node->data_dir . "/$Pitr::Mirror::NAME";
$node->query('CREATE EXTENSION bkp');
# An answer, or "error" with SQLSTATE, message and hint. A WARNING is none of them.
$node->query(<<'SQL');
CREATE FUNCTION probe(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	answer text; state text; message text; hint text;
BEGIN
	EXECUTE 'SELECT string_agg(r::text, E''\n'') FROM ' || query || ' r' INTO answer;
	RETURN 'answer ' || coalesce(answer, 'nothing');
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, hint = PG_EXCEPTION_HINT;
	RETURN format('error %s: %s hint: %s', state, message, hint);
END $$;
-- Writes the file in place, which no program of ours does, and asks every reader: 'same' where it answers as before.
CREATE FUNCTION probe_bytes(content bytea, readers text[], right_answers text[]) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	object oid := lo_from_bytea(0, content); answer text;
BEGIN
	PERFORM lo_export(object, 'pitr.catalog');
	PERFORM lo_unlink(object);
	FOR i IN 1 .. array_length(readers, 1) LOOP
		answer := probe(readers[i]);
		RETURN NEXT CASE WHEN answer = right_answers[i] THEN 'same' ELSE answer END;
	END LOOP;
END $$;
SQL

sub probe { my ($reader) = @_; return $node->query(sprintf 'SELECT probe($q$%s$q$)', $reader) }

# What every reader says, as one text a reader.
sub probe_all { return map { probe($_) } @READERS }

sub all_explain {
	my ($pattern, $title) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my @bad = grep { !/^error \w{5}: .+ hint: .+/s || !/$pattern/ } probe_all();
	ok(!@bad, $title) or diag("expected $pattern\n" . join "\n", @bad);
	return;
}

sub all_answer {
	my ($title) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my @bad = grep { !/^answer / } probe_all();
	ok(!@bad, $title) or diag(join "\n", @bad);
	return;
}

sub is_alive {
	my ($title) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $log = read_file($node->logfile);
	ok($log !~ /terminated by signal|server process .* exited|all server processes terminated|PANIC/, $title)
	  or diag($node->log_tail);
	return;
}

# --- what is no document ---------------------------------------------------------------------------------------------

all_explain(qr/58P01: there is no local mirror of the catalog.*pitr-catalog mirror/s, 'missing: every function says what makes one');
write_file($file, '');
all_explain(qr/XX001: .*cut or damaged/, 'empty');
unlink $file;
mkdir $file;
all_explain(qr/is not a file/, 'a directory');
rmdir $file;
POSIX::mkfifo($file, 0600);
all_explain(qr/is not a file/, 'a FIFO: nothing waits for a writer');
unlink $file;
symlink '/dev/zero', $file;
all_explain(qr/is not a file/, 'a link to a device');
unlink $file;
write_file($file, '');
truncate $file, 65 * 1024 * 1024;
all_explain(qr/is larger than/, 'far too large');
Pitr::Mirror->new($node)->place;
chmod 0, $file;
all_explain(qr/could not open/, 'not readable');
unlink $file;

# --- cut and flipped at each byte -------------------------------------------------------------------------------------

my $small = Pitr::Mirror->new($node, backups => 1, written_us => 1_767_300_000_000_000);
splice @{ $small->{document}{windows}[0]{marks} }, 6;
$node->query('ALTER DATABASE postgres SET bkp.stale_after = 0');    # the small one is of a fixed time
my $bytes = $small->bytes;
$small->place;
# The age is another one each time.
my @steady = map { s/^bkp_mirror\(\)$/(SELECT repository, cluster, branch, written, backups, windows FROM bkp_mirror())/r } @READERS;
my @right = map { probe($_) } @steady;
ok(!(grep { !/^answer \(/ } @right), 'whole: every function answers') or diag(join "\n", @right);

sub literals { return 'ARRAY[' . join(', ', map { '$q$' . $_ . '$q$' } @_) . ']' }

for my $harm (
	[ 'cut', 'substring(good FROM 1 FOR place)', 0 ],
	[ 'flipped', 'set_byte(good, place, get_byte(good, place) # (1 << (place % 8)))', undef ])
{
	my ($title, $expression, $same_expected) = @$harm;
	my $result = $node->query(sprintf <<'SQL', unpack('H*', $bytes), length($bytes) - 1, $expression, literals(@steady), literals(@right));
WITH whole AS (SELECT '\x%s'::bytea AS good)
SELECT count(*) || ' ' || count(*) FILTER (WHERE said = 'same') || ' ' ||
	count(*) FILTER (WHERE said ~ '^error (XX001|55000): .+ hint: .+') || ' ' || coalesce(min(said) FILTER (WHERE said <> 'same'
	AND said !~ '^error (XX001|55000): .+ hint: .+'), '-')
FROM whole, generate_series(0, %d) AS place, LATERAL probe_bytes(%s, %s, %s) AS said
SQL
	my ($all, $same, $explained, $other) = split / /, $result, 4;
	is($all, @steady * length $bytes, "$title at each of " . length($bytes) . ' bytes: every function was asked');
	is($other, '-', "$title: an error with a hint, or the right answer");
	is($same + $explained, $all, "$title: nothing else");
	# A capital in the hexadecimal checksum is the same number.
	cmp_ok($same, '<=', $same_expected // 8 * @steady, "$title: hardly any is believed, and then it is right ($same)");
}
is_alive('no process of the server died of it');

# --- versions, clusters, age -----------------------------------------------------------------------------------------

my $good = Pitr::Mirror->new($node);
for my $version (2, 4294967296) {
	$good->place(version => $version);
	all_explain(qr/55000: .*of version $version, .*knows version 1 .*update the older/s, "version $version: says which is to be updated");
}
$good->place(version => '99999999999999999999999');
all_explain(qr/cut or damaged/, 'a version that is no number');
$good->place(kind => 'pitr-archive-failure');
all_explain(qr/cut or damaged/, 'a document of another kind');
$good->place(crc => '00000000');
all_explain(qr/cut or damaged/, 'another checksum');
Pitr::Mirror->new($node, system_identifier => '7123456789012345678')->place;
all_explain(qr/of another cluster.*7123456789012345678.*pitr-catalog mirror/s, 'of another cluster');

$node->query('ALTER DATABASE postgres RESET bkp.stale_after');
sub warnings_of {
	my ($sql) = @_;
	my ($status, $stdout, $stderr) = $node->psql('postgres', $sql);
	my @warnings = $stderr =~ /WARNING:  (.*)/g;
	return join "\n", $status, @warnings;
}
my $now = time * 1_000_000;
Pitr::Mirror->new($node, written_us => $now - 3 * 3_600_000_000 - 60_000_000)->place;
for my $reader (grep { !/bkp_mirror/ } @READERS) {
	is(warnings_of("SELECT * FROM $reader"), "0\nthe local mirror of the catalog is 3 hours old", "stale: $reader answers and warns");
}
is(warnings_of('SELECT * FROM bkp_catalog(), bkp_recovery_window(), bkp_restore_points()'),
	"0\nthe local mirror of the catalog is 3 hours old", 'stale: once a statement');
is(warnings_of("SELECT 1 FROM bkp_catalog();\nSELECT 1 FROM bkp_catalog()") =~ tr/\n//, 2, 'stale: each statement');
is($node->query('SELECT is_stale, age > \'3 h\' FROM bkp_mirror()'), 't|t', 'stale: bkp_mirror() says it in its row');
is(warnings_of('SELECT * FROM bkp_mirror()'), '0', '... without a warning');
is(warnings_of('SET bkp.stale_after = \'4 h\'; SELECT 1 FROM bkp_catalog()'), '0', 'not stale before bkp.stale_after');
is(warnings_of('SET bkp.stale_after = 0; SELECT 1 FROM bkp_catalog()'), '0', 'never stale with bkp.stale_after = 0');
Pitr::Mirror->new($node, written_us => $now + 3_600_000_000)->place;
is($node->query('SELECT is_stale, age >= \'0\' FROM bkp_mirror()'), 'f|t', 'of the future: no negative age');

# --- nonsense inside a right envelope ----------------------------------------------------------------------------------

my @members = qw(written_us written_by repository cluster branch system_identifier settings backups windows restore_points);
my @wrong_values = (undef, -1, 1.5, 'x', [], {}, JSON::true, '');
my %of_any_type = (branch => 1, cluster => 1, repository => 1, written_by => 1, settings => 1, 'backup note' => 1, 'backup kind' => 1,
	'window end' => 1, 'window branch' => 1, 'point name' => 1, 'point branch' => 1, 'backup status' => 1, 'backup label' => 1);
my %place = (
	''     => sub { $_[0]{document} },
	backup => sub { $_[0]{document}{backups}[1] },
	window => sub { $_[0]{document}{windows}[0] },
	point  => sub { $_[0]{document}{restore_points}[0] },
);
my %used = (
	''     => \@members,
	backup => [qw(label kind status note started_us finished_us start_lsn stop_lsn start_timeline stop_timeline server_version
		database_bytes stored_bytes)],
	window => [qw(branch end timeline gaps earliest_us latest_us earliest_lsn latest_lsn segment_size is_end is_proposed labels marks)],
	point  => [qw(name branch lsn created_us timeline)],
);

# Every function explains each of these documents: asked in one session. Returns those that something else was said of.
sub not_explained {
	my (@named) = @_;
	my ($script, @bad) = ('');
	my $file = directory('scripts') . '/nonsense.sql';
	for my $one (@named) {
		my ($name, $mirror) = @$one;
		$script .= sprintf "SELECT coalesce(string_agg(said, ' // '), 'explained') FROM probe_bytes('\\x%s', %s, '{}') said\n"
		  . "WHERE said !~ '^error XX001: the local mirror of the catalog is not as it should be: .+ hint: .+';\n",
		  unpack('H*', $mirror->bytes), literals(@READERS);
	}
	write_file($file, $script);
	my @said = split /\n/, run_ok([ $node->bin . '/psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-f', $file, '-h', $node->host, '-p', $node->port,
			'postgres' ], 'all are asked for');
	is(scalar @said, scalar @named, '... and answered');
	for my $i (0 .. $#named) { push @bad, "$named[$i][0]: " . ($said[$i] // '') if ($said[$i] // '') ne 'explained' }
	return @bad;
}

my @tried;
for my $where (sort keys %place) {
	for my $member (@{ $used{$where} }) {
		my $name = $where ? "$where $member" : $member;
		my $is_text = $of_any_type{$name} || $member eq 'system_identifier';
		for my $value ('missing', @wrong_values) {
			next if defined $value && !ref $value && $is_text && $value !~ /^(-1|1.5|missing)$/;    # a text
			next if ref $value eq 'ARRAY' && $member =~ /^(backups|windows|restore_points|labels|marks)$/;
			next if ref $value eq ref JSON::true && $member =~ /^is_/;
			my $mirror = Pitr::Mirror->new($node);
			my $object = $place{$where}->($mirror);
			if (defined $value && $value eq 'missing') { delete $object->{$member} }
			else { $object->{$member} = $value }
			push @tried, [ "$name " . ($value // 'null'), $mirror ];
		}
	}
}
cmp_ok(@tried, '>', 200, @tried . ' documents with a member that is missing or of another type');
my @believed = not_explained(@tried);
ok(!@believed, '... are all refused, with a hint, by every function') or diag(join "\n", @believed);

my @values = (
	(map { [ 'backup', 'started_us', $_ ] } 9223372036854775807, 253402300800000000),
	(map { [ 'backup', 'start_lsn', $_ ] } '', '1', '/', '1/', '123456789/0', "0/0\n", '0/g'),
	[ 'backup', 'stop_lsn', '0/0' ], [ 'backup', 'start_timeline', 0 ], [ 'backup', 'stop_timeline', 2147483648 ],
	[ 'backup', 'server_version', 1099511627776 ], [ 'backup', 'database_bytes', 9223372036854775807 ],
	[ 'backup', 'pinned_until_us', 'x' ], [ 'backup', 'pinned_until_us', -1 ], [ 'backup', 'verified_us', [] ],
	(map { [ 'window', 'segment_size', $_ ] } 0, 1, 16777217, 2147483648, 4294967296),
	[ 'window', 'timeline', 4294967295 ], [ 'window', 'gaps', 2147483648 ], [ 'window', 'labels', [1] ],
	[ 'window', 'labels', [ ['x'] ] ],
	(map { [ 'window', 'marks', $_ ] } [1], [ [] ], [ [1] ], [ [ (1) x 10 ] ], [ [ ('1') x 8, 'x' ] ], [ [ (1) x 8, -1 ] ],
		[ [ (1) x 8, 1.5 ] ], [ [ 2, (1) x 8 ] ], [ [ 9223372036854775807, 9223372036854775807, (1) x 7 ] ],
		[ [ 1, 1, 9223372036854775807, (1) x 6 ] ], [ [ 1, 1, 1, 1, 2, 1, 1, 1, 1 ] ], [ [ (1) x 7, 4294967296, 1 ] ],
		[ [ (1) x 9 ], [ (1) x 9 ] ], [ [ 2, 2, (1) x 7 ], [ 1, 1, (1) x 7 ] ]),
	[ 'point', 'timeline', -5 ], [ 'point', 'created_us', 9223372036854775807 ], [ '', 'written_us', 9223372036854775807 ],
);
@tried = ();
for my $case (@values) {
	my ($where, $member, $value) = @$case;
	my $mirror = Pitr::Mirror->new($node);
	$value = $value + 0 if !ref $value && $value =~ /^-?\d+$/ && $member !~ /lsn/;
	$place{$where}->($mirror)->{$member} = $value;
	push @tried, [ "$member " . JSON->new->allow_nonref->encode($value), $mirror ];
}
@believed = not_explained(@tried);
ok(!@believed, @tried . ' values that SQL cannot hold or that contradict one another are refused') or diag(join "\n", @believed);

for my $text ('', '[]', '{}', '"x"', '{', '{"a":1,"a":2}', '{"written_us":1e400}', '{"written_us":123456789012345678901234567890}',
	'[' x 100_000, '{"a":' x 100_000, "{\"a\":\"\xff\xfe\"}", '{"a":"\u0000"}', "\0" x 1000, '{"a":1} x')
{
	Pitr::Mirror::place_bytes($node, Pitr::Mirror::envelope($text));
	all_explain(qr/^error XX001/, 'what is no document at all: ' . substr($text, 0, 30) =~ s/[^ -~]/?/gr);
}

# --- right, though unusual ---------------------------------------------------------------------------------------------

my $unusual = Pitr::Mirror->new($node);
$unusual->{document}{backups}[0]{pinned_until_us} = 9223372036854775807;
$unusual->{document}{backups}[0]{verified_us} = 1_767_300_000_000_000;
$unusual->{document}{backups}[0]{note} = "it's \x{fc}ber-\x{1F600}";
push @{ $unusual->{document}{windows}[0]{labels} }, 'of a backup that is not listed';
$unusual->{document}{something_new} = { x => 1 };
$unusual->place;
all_answer('members that are not known, a label without a backup, any character');
is($node->query('SELECT pinned_until, verified, note FROM bkp_catalog() ORDER BY label LIMIT 1'),
	"infinity|2026-01-01 20:40:00+00|it's \xc3\xbcber-\xf0\x9f\x98\x80", 'a pin for ever, a verification, a note');

# A database whose encoding lacks what the catalog has loses those characters, and nothing else. Names in the WAL are bytes,
# in the encoding of any database.
{
	my $mixed = Pitr::Mirror->new($node);
	$mixed->{document}{backups}[0]{note} = "\x{43f}\x{435}\x{440}\x{435}\x{434} caf\x{e9} \x{20ac}1";
	@{ $mixed->{document}{restore_points}[0] }{qw(name name_hex)} = ('caf?', '636166e9');
	$mixed->{document}{restore_points}[1]{name} = "th\x{e9}";
	$mixed->place;
	$node->query(q{CREATE DATABASE latin1 ENCODING 'LATIN1' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'});
	my $latin = sub {
		my ($status, $said, $why) = $node->psql('latin1', $_[0]);
		return $status == 0 ? $said : "error $why";
	};
	$latin->('CREATE EXTENSION bkp');
	is($latin->(q{SELECT note = '????? caf' || chr(233) || ' ?1' FROM bkp_catalog() ORDER BY label LIMIT 1}), 't',
		'LATIN1: a note with other characters is shown without them');
	is($latin->(q{SELECT string_agg(name, ' ' ORDER BY lsn) = 'caf' || chr(233) || ' th' || chr(233) FROM bkp_restore_points()}), 't',
		'... names of restore points are read in whatever encoding they are');
	like($latin->(q{SELECT bkp_create_restore_point('caf' || chr(233))}), qr/^error .*there is a restore point/, '... one that is taken is refused');
	unlike($latin->(q{SELECT bkp_create_restore_point('th' || chr(233))}), qr/error/, '... not one of other bytes');
	is($node->query('SELECT min(name) FROM bkp_restore_points()'), 'caf?', 'UTF8: a name in another encoding is shown as far as can be');
	like(($node->psql('postgres', qq{SELECT bkp_create_restore_point('th\xc3\xa9')}))[2], qr/there is a restore point/, '... one that is taken is refused');
	$node->query('DROP DATABASE latin1');
	for my $hex ('x', '00', '6', '') {
		$mixed->{document}{restore_points}[0]{name_hex} = $hex;
		$mixed->place;
		$hex eq '' ? all_answer('a name of no bytes') : all_explain(qr/"name_hex" is not hexadecimal/, "a name_hex of \"$hex\"");
	}
}
Pitr::Mirror->new($node, backups => 0)->place;
all_answer('no backup at all');
like(probe("bkp_recovery_target(now())"), qr/^answer \(f,"nothing can be restored: there is no base backup/, '... and says so');

# --- replaced in a loop ------------------------------------------------------------------------------------------------

# Every row of one answer is of one writing; a file that has just been replaced is never taken for the one before.
my @generations = map {
	my $mirror = Pitr::Mirror->new($node, backups => 20);
	my $note = 'writing ' . (1000 + $_);
	$_->{note} = $note for @{ $mirror->{document}{backups} };
	$mirror->bytes;
} 0 .. 19;
Pitr::Mirror::place_bytes($node, $generations[0]);
my $writer = fork // die "could not fork: $!\n";
if ($writer == 0) {
	$SIG{ALRM} = 'DEFAULT';    # it must not outlive a test that dies
	alarm 120;
	for (my $number = 0;; $number++) { Pitr::Mirror::place_bytes($node, $generations[ $number % @generations ]) }
}
my $rounds = is_full_run() ? 20_000 : 2_000;
my $seen = eval { $node->query(<<"SQL") };
CREATE FUNCTION read_often(rounds int) RETURNS text LANGUAGE plpgsql AS \$\$
DECLARE
	notes int; count int; note text; bad int := 0; seen text[] := '{}';
BEGIN
	FOR i IN 1 .. rounds LOOP
		SELECT count(DISTINCT c.note), count(*), min(c.note) INTO notes, count, note FROM bkp_catalog() c;
		bad := bad + CASE WHEN notes = 1 AND count = 20 THEN 0 ELSE 1 END;
		IF note <> ALL (seen) THEN seen := seen || note; END IF;
	END LOOP;
	RETURN bad || ' ' || array_length(seen, 1);
END \$\$;
SELECT read_often($rounds);
SQL
my $why = $@;
kill 'KILL', $writer;
waitpid $writer, 0;
ok(defined $seen, 'reading while it is replaced does not fail') or diag($why);
$seen //= '0 0';
my ($bad, $different) = split / /, $seen;
is($bad, 0, "read $rounds times while it is replaced: always one whole writing");
cmp_ok($different, '>', 1, "... and $different different ones were seen");

# What was written last counts at once, though within one tick of the clock the file looks the same.
my $believed = $node->query(sprintf <<'SQL', join ', ', map { "'\\x" . unpack('H*', $_) . "'::bytea" } @generations);
CREATE FUNCTION read_what_was_written(contents bytea[]) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	objects oid[]; notes text[] := '{}'; note text; bad int := 0;
BEGIN
	objects := ARRAY(SELECT lo_from_bytea(0, c) FROM unnest(contents) c);
	FOR i IN 1 .. 10 * array_length(objects, 1) LOOP
		PERFORM lo_export(objects[1 + i %% array_length(objects, 1)], 'pitr.catalog');
		SELECT min(c.note) INTO note FROM bkp_catalog() c;
		bad := bad + CASE WHEN note = 'writing ' || 1000 + i %% array_length(objects, 1) THEN 0 ELSE 1 END;
	END LOOP;
	RETURN bad || ' of ' || 10 * array_length(objects, 1);
END $$;
SELECT read_what_was_written(ARRAY[%s]);
SQL
is($believed, '0 of 200', 'what was written is what is read next, in one session');
is_alive('no process of the server died');
done_testing();
