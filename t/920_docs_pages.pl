# What docs/sql.md and docs/operations.md show can be typed: queries answer with these columns, programs have these
# flags, policies are understood, the script that restores as a test works, and links lead somewhere.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use Pitr;

my $docs = "$FindBin::RealBin/../docs";
my %page = map { $_ => read_file("$docs/$_") } qw(sql.md operations.md);

my $repo = repo('main');
my $node = cluster('source', repo => $repo, initdb => ['--wal-segsize=1']);
$node->query($_)
  for 'CREATE EXTENSION bkp', 'CREATE ROLE grafana', 'CREATE ROLE reporting', 'CREATE ROLE deploy',
  'CREATE TABLE orders AS SELECT 1 AS id', 'CREATE TABLE t AS SELECT now() AS at',
  q{SELECT bkp_create_restore_point('before release 2.4')};
run_ok([ 'pitr-basebackup', $repo->options, $node->connection, '--checkpoint=fast' ], 'a backup is taken');
$node->archive_all;
run_ok([ 'pitr-catalog', $repo->options, 'mirror', '-D', $node->data_dir ], 'the mirror is written');
run_program([ 'pitr-check', $repo->options, '-D', $node->data_dir, $node->connection ]);

# --- sessions: "=# query", then what psql has answered ---------------------------------------------------------------

# What psql answers to a text, as on the page; what it says to stderr as well.
sub psql {
	my ($text) = @_;
	my $file = write_file("$Pitr::TEST_DIRECTORY/query.sql", "$text\n");
	my (undef, $stdout, $stderr) = run_program([ 'psql', '-X', '-d', $node->connstr('postgres'), '-f', $file ]);
	return $stdout . $stderr;
}

# The names of columns, in the order of the page: the line above the rule, or before the bar of an expanded row.
sub columns {
	my ($answer) = @_;
	return join ' ', $answer =~ /^\s*(\w+)\s+\|/mg if $answer =~ /^\s*-\[ RECORD/m;
	return $answer =~ /^(.*)\n\s*-[-+]+$/m ? join ' ', $1 =~ /(\w+)/g : '';
}

my $sessions = 0;
for my $name (sort keys %page) {
	while ($page{$name} =~ /^    =# (.+)\n((?:    (?!=#|\$ ).*\n)*)/mg) {
		my ($query, $shown) = ($1, $2);
		my $answer = psql($query);
		my ($error) = $shown =~ /ERROR:  (.*)$/m;
		$sessions++;
		is(columns($answer), columns($shown), "$name: $query") or diag($answer);
		if   (defined $error) { like($answer, qr/ERROR:  \Q$error\E/, '… with the error that is shown') }
		else                  { unlike($answer, qr/ERROR/, '… without an error') }
	}
}
cmp_ok($sessions, '>=', 15, 'the pages have sessions');

# --- queries to be pasted into Grafana -------------------------------------------------------------------------------

my @pasted = $page{'sql.md'} =~ /^    (SELECT (?:(?!\n\n).)+?;)$/msg;
for my $query (@pasted) {
	$query =~ s/\$__timeFilter\((\w+)\)/$1 BETWEEN now() - interval '1 day' AND now()/g;
	my $answer = psql($query);
	unlike($answer, qr/ERROR/, 'works: ' . substr($query, 0, 70));
	like(columns($answer), qr/^time /, '… with the time first') if $query =~ /AS "time"/;
}
cmp_ok(scalar @pasted, '>=', 6, 'there are queries for Grafana');

# --- every flag that is shown is one of that program -----------------------------------------------------------------

my (%help, %seen);
for my $text (values %page, read_file("$docs/../README.md")) {
	$text =~ s/\\\n//g;
	while ($text =~ /\b(pitr-(?:archive|basebackup|catalog|check|expire|fetch|restore|verify))\b([^\n`|;]*)/g) {
		my ($program, $rest) = ($1, $2);
		$seen{"$program $_"} = 1 for $rest =~ /\s(--[a-z][a-z-]*)/g;
	}
}
for my $use (sort keys %seen) {
	my ($program, $flag) = split / /, $use;
	$help{$program} //= (run_program([ $program, '--help' ]))[1];
	like($help{$program}, qr/\Q$flag\E\b/, $use);
}
cmp_ok(scalar keys %seen, '>=', 20, 'flags are shown');

# --- policies and objectives -----------------------------------------------------------------------------------------

my @policies = grep { /^ *(?:keep|rpo|rto)/m } $page{'operations.md'} =~ /^((?:    (?:keep-\w+|rpo|rto) +=.*\n)+)/mg;
for my $policy (@policies) {
	my $config = write_file("$Pitr::TEST_DIRECTORY/policy.conf", read_file($repo->config) . $policy);
	my $title  = join ', ', $policy =~ /(\S+ += .+)/g;
	my ($plan) = run_ok([ 'pitr-expire', "--config=$config" ], $title);
	like($plan, qr/^stays .*newest|^nothing goes/m, '… the plan');
	my ($status, $said, $wrong) = run_program([ 'pitr-check', "--config=$config", '--format=text' ]);
	like($said, qr/^OK +backup /m, '… pitr-check understands it') or diag("$status $said $wrong");
}
cmp_ok(scalar @policies, '>=', 4, 'there are policies');

# --- the script that restores as a test ------------------------------------------------------------------------------

my ($script) = $page{'operations.md'} =~ /^(    #!\/bin\/sh\n    # Restores.*?)\n\n(?=\S)/ms;
ok(defined $script, 'there is a script') or $script = '    exit 1';
my $metrics = directory('metrics');
$script =~ s/^    //mg;
$script =~ s/^export PATH=.*/export PATH=$Pitr::BIN:@{[ $node->bin ]}:\$PATH/m;
$script =~ s/^metrics=.*/metrics=$metrics/m;
my $path = write_file("$Pitr::TEST_DIRECTORY/restore-test", "$script\n");
my %environment = (PITR_CONFIG => $repo->config, PGHOST => $node->host, PGUSER => 'postgres', PGDATABASE => 'postgres');
run_ok([ '/bin/sh', $path ], 'it restores and reads', env => \%environment);
like(read_file("$metrics/restore-test.prom"),
	qr/\Arestore_test_timestamp_seconds \d+\nrestore_test_duration_seconds \d+\n\z/, '… and says so');
unlink "$metrics/restore-test.prom";
$node->query('DELETE FROM orders');
$node->archive_all;
my ($status) = run_program([ '/bin/sh', $path ], env => \%environment);
isnt($status, 0, 'it fails where the data is not what it should be');
ok(!-e "$metrics/restore-test.prom", '… and leaves no number');

# --- links -----------------------------------------------------------------------------------------------------------

for my $name (glob "$docs/*.md") {
	my $text = read_file($name);
	ok(-e "$docs/$_", "$name leads to $_") for $text =~ /\]\(([\w.\/-]+\.md)\)/g;
}
my $readme = read_file("$docs/../README.md");
ok(-e "$docs/../$_", "README.md leads to $_") for $readme =~ /\]\(([\w.\/-]+)\)/g;

done_testing();
