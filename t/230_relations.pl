# The map from relation to name that pitr-basebackup stores with each backup: what it says is what each server's own
# catalog says, whatever the names, encodings and rights, read by the library and by the independent reader.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use JSON ();
use Pitr;

my $tool = "$Pitr::BIN/../tools/relation_map";
die "$tool is missing: make build/tools/relation_map\n" unless -x $tool;
my $json = JSON->new->utf8->canonical;

# What the server says: path of the file, OID, owner, kind, persistence, schema, name. Another query than the program's:
# joins over the whole catalog, and the file as PostgreSQL names it.
my $catalog_query = <<'SQL';
SELECT json_build_array(coalesce(pg_relation_filepath(c.oid), ''), c.oid::int8,
	coalesce(i.indrelid, h.inhparent, t.oid, s.refobjid, 0)::int8, c.relkind::text, c.relpersistence::text, n.nspname, c.relname)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
	LEFT JOIN pg_index i ON i.indexrelid = c.oid
	LEFT JOIN pg_inherits h ON h.inhrelid = c.oid AND c.relispartition AND c.relkind <> 'i'
	LEFT JOIN pg_class t ON t.reltoastrelid = c.oid
	LEFT JOIN pg_depend s ON c.relkind = 'S' AND s.classid = 'pg_class'::regclass AND s.objid = c.oid AND s.deptype IN ('a', 'i')
		AND s.refclassid = 'pg_class'::regclass AND s.refobjsubid > 0
WHERE c.relkind NOT IN ('v', 'c', 'f', 'I') AND c.relpersistence <> 't'
SQL

# Relations as the server's catalogs have them: OID of the database -> sorted lines. Shared ones only once, below 0.
sub catalog_of {
	my ($node, %how) = @_;
	my (%databases, %relations);
	for my $row (split /\n/, $node->safe_psql('postgres', "SELECT oid, encode(namesend(datname), 'hex') FROM pg_database WHERE datallowconn",
			extra_params => ['-XAt'])) {
		my ($oid, $hex) = split /\|/, $row;
		next if grep { $_ eq pack 'H*', $hex } @{ $how{without} // [] };
		my $said = psql_bytes($node, pack('H*', $hex), $catalog_query);
		for my $line (split /\n/, $said) {
			my $relation = $json->decode($line);
			push @{ $relations{ $relation->[0] =~ /^global/ ? 0 : $oid } }, $json->encode($relation);
		}
	}
	my %seen;
	$relations{0} = [ grep { !$seen{$_}++ } @{ $relations{0} } ];
	return { map { $_ => [ sort @{ $relations{$_} } ] } keys %relations };
}

# psql with a name of a database as bytes.
sub psql_bytes {
	my ($node, $database, $sql) = @_;
	local $ENV{PGCLIENTENCODING} = 'UTF8';
	my ($stdout, $stderr) = ('', '');
	IPC::Run::run([ $node->bin . '/psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', $node->connection, '-d', $database, '-f', '-' ],
		'<', \$sql, '>', \$stdout, '2>', \$stderr) or die "psql: $stderr\n";
	return $stdout;
}

# The lines of the map: those of databases, and OID of the database -> sorted lines as catalog_of() has them. The file's
# path is made of the numbers that WAL carries.
sub map_of {
	my ($node, $said) = @_;
	my (@databases, %relations, $database);
	my ($version) = $node->safe_psql('postgres', q{SELECT regexp_replace(current_setting('server_version_num'), '\d{4}$', '')});
	my ($directory) = map { m{([^/]+)$} } glob $node->data_dir . '/pg_tblspc/*/PG_*';
	for my $line (split /\n/, $said) {
		my ($what, @fields) = @{ $json->decode($line) };
		if ($what eq 'database') { push @databases, \@fields; $database = $fields[0]; next }
		my ($in_wal, $tablespace, $filenode, $oid, @rest) = @fields;
		my $path = !$filenode ? '' : $tablespace == 1664 ? "global/$filenode" : $tablespace == 1663 ? "base/$in_wal/$filenode" :
		  "pg_tblspc/$tablespace/$directory/$in_wal/$filenode";
		push @{ $relations{$in_wal} }, $json->encode([ $path, $oid, @rest ]);
	}
	return (\@databases, { map { $_ => [ sort @{ $relations{$_} } ] } keys %relations });
}

sub is_same_map {
	my ($seen, $expected, $title) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is_deeply([ sort keys %$seen ], [ sort keys %$expected ], "$title: the databases") or return;
	my @wrong;
	for my $database (sort keys %$expected) {
		my %seen     = map { $_ => 1 } @{ $seen->{$database} };
		my %expected = map { $_ => 1 } @{ $expected->{$database} };
		push @wrong, map({ "$database, missing: $_" } grep { !$seen{$_} } sort keys %expected),
		  map({ "$database, surplus: $_" } grep { !$expected{$_} } sort keys %seen);
		push @wrong, "$database: some twice" if @{ $seen->{$database} } != keys %seen;
	}
	ok(!@wrong, "$title: every relation") or diag(join "\n", @wrong[0 .. ($#wrong < 9 ? $#wrong : 9)]);
	return;
}

# A backup; returns its fact, what was said, and the map by the library. The independent reader must see the same.
sub backup {
	my ($node, $repo, $title, @options) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($stdout, $stderr) = run_ok([ 'pitr-basebackup', $repo->options, $node->connection, '--checkpoint=fast', '--json', @options ], $title);
	my $fact = $json->decode($stdout);
	my $said = run_ok([ $tool, $repo->options, $fact->{label} ], '… its map is read');
	my ($branch) = map { s{/backup/.*}{}r } $repo->objects(qr{/\Q$fact->{label}\E/complete$});
	my $independently = run_ok([ 'python3', "$Pitr::ROOT/t/format/pitr_format.py", 'relations', $repo->key // '-', $repo->path, $branch,
			$fact->{label} ], '… and by the independent reader');
	my %seen;
	$independently = join '', grep { !$seen{$_}++ } split /(?<=\n)/, $independently;
	is($said, $independently, '… which sees the same');
	return ($fact, $stderr, $said);
}

my $odd = qq{a "quoted" 'name' with \\ and \nnewline\tand \x{1}};
(my $quoted = $odd) =~ s/"/""/g;

sub fill {
	my ($node) = @_;
	my $place = directory('tablespace-' . $node->name);
	my $sql = sub { $node->safe_psql(@_) };
	$sql->('postgres', "CREATE TABLESPACE elsewhere LOCATION '$place'");
	$sql->('postgres', $_) for qq{CREATE SCHEMA "$quoted"}, qq{CREATE TABLE "$quoted"."$quoted" (id serial PRIMARY KEY, long text)},
	  "CREATE TABLE \"caf\xc3\xa9 \xe6\x97\xa5\xe6\x9c\xac\" (id int)", 'CREATE TABLE "' . 'x' x 63 . '" ()',
	  'CREATE TABLE parted (id bigint GENERATED ALWAYS AS IDENTITY, day date, note text) PARTITION BY RANGE (day)',
	  "CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM ('2024-01-01') TO ('2024-02-01')",
	  "CREATE TABLE parted_2 PARTITION OF parted FOR VALUES FROM ('2024-02-01') TO ('2024-03-01') PARTITION BY LIST (note)",
	  "CREATE TABLE parted_2_a PARTITION OF parted_2 FOR VALUES IN ('a')", 'CREATE INDEX ON parted (day)',
	  'CREATE UNLOGGED TABLE unlogged (id int PRIMARY KEY)', 'CREATE VIEW v AS SELECT 1 AS a', 'CREATE TYPE pair AS (a int, b int)',
	  'CREATE MATERIALIZED VIEW m AS SELECT 1 AS a', 'CREATE SEQUENCE alone', 'CREATE TABLE far (t text) TABLESPACE elsewhere',
	  # Numbers that were taken anew: tables, catalogs, and catalogs that are mapped.
	  'CREATE TABLE rewritten AS SELECT 1 AS a', 'VACUUM FULL rewritten', 'TRUNCATE far', 'VACUUM FULL pg_proc', 'VACUUM FULL pg_class',
	  'VACUUM FULL pg_database', 'VACUUM FULL pg_type';
	$sql->('postgres', $_) for q{CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0},
	  q{CREATE DATABASE ascii ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0}, 'CREATE DATABASE closed', 'CREATE DATABASE refused',
	  q{CREATE DATABASE "db ""x"" 'y' \ } . "caf\xc3\xa9\" TABLESPACE elsewhere", 'ALTER DATABASE closed ALLOW_CONNECTIONS false';
	psql_bytes($node, 'latin', "CREATE TABLE \"gr\xc3\xbc\xc3\x9fe\" (t text);\n");
	psql_bytes($node, "db \"x\" 'y' \\ caf\xc3\xa9", "CREATE TABLE here (t text);\n");
	return;
}

# Tables made in SQL_ASCII with names of whatever bytes.
sub fill_ascii {
	my ($node) = @_;
	psql_bytes($node, 'ascii', "SET client_encoding = 'SQL_ASCII';\nCREATE TABLE \"n\xe4me\" (t text);\nCREATE TABLE \"n\xc3\xa4me\" ();\n"
		. join '', map { "CREATE TABLE t$_ ();\n" } 1 .. 40);
	return;
}

# --- every version ------------------------------------------------------------------------------------------------------
my @nodes;
for my $version (pg_versions()) {
	my $is_encrypted = $version == newest_version();
	my $repo = repo("version$version", $is_encrypted ? (key => 1) : ());
	my @key  = $is_encrypted ? ('--key-file=' . $repo->key . '.host') : ();
	my $node = cluster("version$version", version => $version, repo => $repo, initdb => [ '--encoding=UTF8', '--locale=C' ]);
	fill($node);
	$node->safe_psql('postgres', 'CREATE TEMPORARY TABLE gone ()');
	my $expected = catalog_of($node);
	my ($fact, $stderr, $said) = backup($node, $repo, "version $version: a backup", @key);
	unlike($stderr, qr/names of the tables/, '… with nothing to say about its names');
	my ($databases, $relations) = map_of($node, $said);
	is_same_map($relations, $expected, "version $version");
	my %by_name = map { $_->[1] => $_ } @$databases;
	is($by_name{latin}[2], 'LATIN1', '… with the encodings of databases');
	ok($by_name{closed}[3] && $by_name{template0}[3] && !$by_name{latin}[3], '… and which are closed');
	my $count = grep { !$_->[3] } @$databases;
	my $sum = 0;
	$sum += @$_ for values %$relations;
	is_deeply([ @{ $fact->{relation_map} }{qw(relations databases databases_missing)} ], [ $sum, $count, 0 ], '… counted in the fact');
	my $start = sprintf '%d', $node->safe_psql('postgres', "SELECT '$fact->{relation_map}{lsn_before}'::pg_lsn - '$fact->{start_lsn}'");
	ok($start >= 0, '… and begun behind the start of the backup, so that WAL which it needs tells what changes further');
	like(scalar run_ok([ 'pitr-catalog', $repo->options, 'show', $fact->{label} ], '… and shown'),
		qr/^relations +$sum in $count databases$/m, '… as a line');
	unlike(scalar run_ok([ 'pitr-catalog', $repo->options, 'show', '--json', $fact->{label} ], '… and as JSON'),
		qr/parted_1/, '… which does not hold it');
	push @nodes, [ $node, $repo, @key ];
}

# --- from a standby ------------------------------------------------------------------------------------------------------------
{
	my ($primary, $archive, @its_key) = @{ $nodes[-1] };
	my $standby = Pitr::Cluster->new('standby', install_path => $primary->install_path);
	$standby->{pitr_version} = $primary->version;
	run_ok([ $primary->bin . '/pg_basebackup', $primary->connection, '-c', 'fast', '-D', $standby->data_dir,
			'-T', directory('tablespace-' . $primary->name) . '=' . directory('tablespace-standby') ], 'a standby is made');
	$standby->own_address;
	$standby->enable_streaming($primary);
	$standby->start;
	$primary->safe_psql('postgres', 'CREATE TABLE late (t text)');
	$primary->wait_for_catchup($standby);
	my ($fact, $stderr, $said) = backup($standby, $archive, 'from a standby', @its_key, '--primary=' . $primary->connstr('postgres'));
	ok($fact->{from_standby}, '… it is one');
	my (undef, $relations) = map_of($primary, $said);
	is_same_map($relations, catalog_of($primary), 'from a standby');
	$standby->stop;
}

# --- names that are no text ----------------------------------------------------------------------------------------------
my ($node, $repo, @key) = @{ $nodes[0] };
{
	fill_ascii($node);
	my ($fact, $stderr, $said) = backup($node, $repo, 'names of whatever bytes', @key);
	my ($oid) = $node->safe_psql('postgres', q{SELECT oid FROM pg_database WHERE datname = 'ascii'});
	my @names = map { $json->decode($_)->[9] } grep { /^\["relation",$oid,.*"public"/ } split /\n/, $said;
	is_deeply([ @names[ 0 .. 1 ] ], [ { hex => '6ee46d65' }, "n\x{e4}me" ], 'one that is not UTF-8 is kept as its bytes, the next is text');
	is_deeply([ @names[ 2 .. 41 ] ], [ map { "t$_" } 1 .. 40 ], '… and so are all behind it');
	is(scalar @names, 42, '… each once');
	is($fact->{relation_map}{databases_missing}, 0, '… and nothing is missing');
}

# --- who may not -----------------------------------------------------------------------------------------------------------
{
	my @log = ('--log-level=warning');
	my $hba = $node->data_dir . '/pg_hba.conf';
	my $kept = read_file($hba);
	$node->safe_psql('postgres', $_) for 'CREATE ROLE backup LOGIN REPLICATION', 'REVOKE CONNECT ON DATABASE refused FROM PUBLIC';
	my ($fact, $stderr, $said) = backup($node, $repo, 'by a role that may not connect to one database', @key, '-U', 'backup');
	like($stderr, qr/^pitr-basebackup: the names of the tables of database "refused" are not stored.*permission denied.*GRANT CONNECT ON DATABASE refused TO backup/m,
		'… which is said, with what helps');
	my ($databases, $relations) = map_of($node, $said);
	is_deeply([ map { $_->[1] } grep { $_->[4] ne '' } @$databases ], ['refused'], '… and stands in the map');
	is($fact->{relation_map}{databases_missing}, 1, '… and in the fact');
	my $expected = catalog_of($node, without => [ 'refused', 'ascii' ]);
	my ($ascii) = $node->safe_psql('postgres', q{SELECT oid FROM pg_database WHERE datname = 'ascii'});
	delete $relations->{$ascii};
	is_same_map($relations, $expected, '… the others are whole');
	my $shown = run_ok([ 'pitr-catalog', $repo->options, 'show', $fact->{label} ], '… and it is shown');
	like($shown, qr/^relations .*, 1 database missing$/m, '… that one is missing');
	like($shown, qr/^missing +refused: .*permission denied/m, '… which, and why');
	(undef, $stderr) = backup($node, $repo, 'the same with warnings only', @key, '-U', 'backup', @log);
	is($stderr, '', '… says nothing: so it was set up');

	write_file($hba, "local replication backup trust\nlocal all backup reject\nlocal all all trust\nlocal replication all trust\n");
	$node->reload;
	($fact, $stderr, $said) = backup($node, $repo, 'by a role that may only replicate', @key, '-U', 'backup');
	like($stderr, qr/^pitr-basebackup: the names of the tables of the server are not stored.*pg_hba\.conf.*"local all backup \w+"/m,
		'… which is said, with the line of pg_hba.conf that helps');
	is($fact->{relation_map}{parts}, 0, '… there is no map');
	is_deeply([ $repo->objects(qr{/relation/\Q$fact->{label}\E/}) ], [], '… nor an object');
	is($said, '', '… and nothing to read');
	like(scalar run_ok([ 'pitr-catalog', $repo->options, 'show', $fact->{label} ], '… and it is shown'),
		qr/^relations +their names are not stored$/m, '… that there is none');
	write_file($hba, $kept);
	$node->reload;
}

# --- a part that is missing or another's -------------------------------------------------------------------------------------
{
	my ($fact) = backup($node, $repo, 'a backup whose map is harmed', @key);
	my ($part) = map { $repo->path . "/$_" } $repo->objects(qr{/relation/\Q$fact->{label}\E/});
	my ($other) = map { $repo->path . "/$_" } grep { !/\Q$fact->{label}\E/ } $repo->objects(qr{/relation/});
	my $content = read_file($part);
	for my $harm ([ 'flip', qr/\Q$fact->{label}\E/ ], [ 'truncate', qr/cut off/ ], [ 'remove', qr/relation map part ".*" is missing/ ]) {
		my ($kind, $says) = @$harm;
		damage($part, $kind);
		run_fails([ $tool, $repo->options, $fact->{label} ], 1, $says, "a part that was harmed ($kind) is named");
		write_file($part, $content);
	}
	write_file($part, read_file($other));
	run_fails([ $tool, $repo->options, $fact->{label} ], 1, qr/was sealed as|sealed/, "… so is another's in its place");
}

# --- many ------------------------------------------------------------------------------------------------------------------------
{
	my $count = is_full_run() ? 20000 : 3000;
	for my $from (map { $_ * 1000 } 0 .. $count / 1000 - 1) {
		$node->safe_psql('postgres', "DO \$\$ BEGIN FOR i IN $from .. $from + 999 LOOP EXECUTE format('CREATE TABLE many_%s (id int)', i); "
			  . 'END LOOP; END $$');
	}
	my ($fact, undef, $said) = backup($node, $repo, "$count more tables", @key);
	is((() = $said =~ /"many_\d+"\]$/mg), $count, '… are all there');
	cmp_ok($fact->{relation_map}{parts}, '>', is_full_run() ? 2 : 0, '… in parts');
}
done_testing();
