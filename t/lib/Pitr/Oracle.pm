# What was committed when: the truth a restored server is compared with.
#
#   my $oracle = oracle($node);                    # $node was made with log_commits => 1
#   $oracle->load(seconds => 3);                   # concurrent transactions, one row each
#   my $commit = $oracle->commit_at(0.5);          # the commit in the middle: {xid, lsn, time, row}
#   is_restored_to($copy, $oracle, {time => $commit->{time}}, '...');
#
# Recovery stops at a place in the WAL, not at a clock time: the first commit record whose time is past the target. Two
# sessions write their commit records in another order than they took the time, so the order is read from the WAL itself
# (pg_waldump), and never from a clock.
package Pitr::Oracle;

use strict;
use warnings;

sub new {
	my ($class, $node) = @_;
	create_tables($node);
	my $start = $node->query('SELECT pg_current_wal_insert_lsn()');
	return $node->{pitr_oracle} = bless { node => $node, start => $start }, $class;
}

# Only to load a server whose tables are there already, or that another truth is kept of (Pitr::Tree).
sub loader {
	my ($class, $node) = @_;
	return bless { node => $node }, $class;
}

sub create_tables {
	my ($node) = @_;
	$node->query(<<'SQL');
CREATE TABLE oracle (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, xid bigint NOT NULL, content text NOT NULL);
CREATE TABLE oracle_churn (id int PRIMARY KEY, value int NOT NULL);
INSERT INTO oracle_churn SELECT g, 0 FROM generate_series(1, 1000) g;
SQL
	return;
}

# One row per line: everything of it, so that a row with the wrong content is a wrong row.
sub rows_query {
	return 'SELECT id, xid, md5(content) FROM oracle ORDER BY id';
}

my $plain_load = <<'SQL';
\set row random(1, 1000)
\set outcome random(1, 10)
BEGIN;
INSERT INTO oracle (xid, content) SELECT txid_current(), repeat(md5(random()::text), 1 + (random() * 20)::int);
UPDATE oracle_churn SET value = value + 1 WHERE id = :row;
\if :outcome = 1
ROLLBACK;
\else
COMMIT;
\endif
SQL

# Of every sort: rollbacks, subtransactions that are kept and dropped, prepared transactions. One committed transaction
# is one or more rows of `oracle` and adds one to `oracle_churn`.
my $mixed_load = <<'SQL';
\set row random(1, 1000)
\set outcome random(1, 12)
\set gid random(1, 1000000000)
BEGIN;
INSERT INTO oracle (xid, content) SELECT txid_current(), repeat(md5(random()::text), 1 + (random() * 20)::int);
UPDATE oracle_churn SET value = value + 1 WHERE id = :row;
\if :outcome in (1, 2, 3)
SAVEPOINT one;
INSERT INTO oracle (xid, content) SELECT txid_current(), 'kept ' || md5(random()::text);
RELEASE SAVEPOINT one;
SAVEPOINT two;
INSERT INTO oracle (xid, content) SELECT txid_current(), 'dropped';
ROLLBACK TO SAVEPOINT two;
\endif
\if :outcome in (1, 4)
ROLLBACK;
\elif :outcome in (2, 5)
PREPARE TRANSACTION 'prepared-:client_id-:gid';
COMMIT PREPARED 'prepared-:client_id-:gid';
\elif :outcome in (6)
PREPARE TRANSACTION 'prepared-:client_id-:gid';
ROLLBACK PREPARED 'prepared-:client_id-:gid';
\else
COMMIT;
\endif
SQL
$mixed_load =~ s/:outcome in \(([\d, ]+)\)/join ' or ', map { ":outcome = $_" } split ', ', $1/ge;

# Commits rows for so many seconds (or transactions => N per client) from several sessions at once. Each transaction
# is one row of `oracle`; one in ten is rolled back, and others change rows in place. is_mixed => 1: see above.
sub load {
	my ($self, %options) = @_;
	my $node   = $self->{node};
	my $script = Pitr::write_file(Pitr::directory('oracle') . '/load.sql', $options{is_mixed} ? $mixed_load : $plain_load);
	my @length = $options{transactions} ? ('-t', $options{transactions}) : ('-T', $options{seconds} // 2);
	local %ENV = $node->_get_env;
	my ($status, undef, $stderr) = Pitr::run_program([ $node->bin . '/pgbench', '-n', '-f', $script, '-c', $options{clients} // 4,
		'-j', 1, ($options{rate} ? ('-R', $options{rate}) : ()), @length, 'postgres' ], timeout => 300);
	die "pgbench failed: $stderr\n" if $status != 0;
	delete $self->{commits};
	return $self;
}

# Starts the load in the background; returns a function that waits for its end.
sub load_in_background {
	my ($self, %options) = @_;
	my $pid = fork // die "could not fork: $!\n";
	if ($pid == 0) {
		# No END block here: those are the parent's servers.
		my $is_done = eval { $self->load(%options); 1 };
		require POSIX;
		POSIX::_exit($is_done ? 0 : 1);
	}
	return sub {
		waitpid $pid, 0;
		delete $self->{commits};
		die "the load in the background failed\n" if $?;
	};
}

# All commits in the order of the WAL: [{xid, lsn, time, row}]. `row` is what rows_query prints for it, or undef.
sub commits {
	my ($self) = @_;
	return @{ $self->{commits} } if $self->{commits};
	my $node = $self->{node};
	my %row  = map { (split /\|/, $_, 3)[1] => $_ } split /\n/, $node->query(rows_query());
	# The end is one that pg_waldump copes with: inside of a page (at its first record it reads past what it was given,
	# WALDumpReadPage() of 15 to 18), and of a segment that has more in it.
	my $end = '0/0';
	$end = $node->query("SELECT pg_logical_emit_message(false, 'oracle', 'end')") while (hex($end =~ s{.*/}{}r) % 8192) < 64;
	$node->switch_wal;
	local $ENV{TZ} = 'UTC';
	my $timeline = hex substr $node->query('SELECT pg_walfile_name(pg_current_wal_insert_lsn())'), 0, 8;
	my ($status, $stdout, $stderr) = Pitr::run_program([ $node->bin . '/pg_waldump', '-p', $node->data_dir . '/pg_wal',
		'-t', $timeline, '-r', 'Transaction', '-s', $self->{start}, '-e', $end ]);
	die "pg_waldump failed: $stderr\n" if $status != 0;
	my @commits;
	for (split /\n/, $stdout) {
		/tx:\s*(\d+), lsn: ([0-9A-F]+\/[0-9A-F]+), .*desc: COMMIT (\d\S+ \S+) UTC/ or next;
		push @commits, { xid => $1, lsn => $2, time => "$3+00", row => $row{$1} };
	}
	die "pg_waldump showed no commit\n" unless @commits;
	$self->{commits} = \@commits;
	return @commits;
}

# The commit of a row at this fraction (0 to 1) of all; options after => LSN, before => LSN narrow the choice.
sub commit_at {
	my ($self, $fraction, %range) = @_;
	my @commits = grep {
		defined $_->{row}
		  && (!defined $range{after}  || compare_lsn($_->{lsn}, $range{after}) > 0)
		  && (!defined $range{before} || compare_lsn($_->{lsn}, $range{before}) < 0)
	} $self->commits;
	die "no commit in that range\n" unless @commits;
	return $commits[ $fraction * $#commits ];
}

# The rows (as rows_query prints them, by id) of a server that was recovered to
#   time => T, xid => X, lsn => L   with exclusive => 1 where asked; L is the start of a record
#   before_lsn => L                 everything committed before (a restore point, the end of a backup)
#   latest => 1                     everything
sub expected {
	my ($self, %target) = @_;
	my @rows;
	for my $commit ($self->commits) {
		last if defined $target{time} && $commit->{time} gt $target{time};
		last if defined $target{time} && $target{exclusive} && $commit->{time} eq $target{time};
		last if defined $target{lsn} && compare_lsn($commit->{lsn}, $target{lsn}) > 0;
		last if defined $target{lsn} && $target{exclusive} && compare_lsn($commit->{lsn}, $target{lsn}) == 0;
		last if defined $target{before_lsn} && compare_lsn($commit->{lsn}, $target{before_lsn}) >= 0;
		last if defined $target{xid} && $target{exclusive} && $commit->{xid} == $target{xid};
		push @rows, $commit->{row} if defined $commit->{row};
		last if defined $target{xid} && $commit->{xid} == $target{xid};
	}
	return sort { ($a =~ /^(\d+)/)[0] <=> ($b =~ /^(\d+)/)[0] } @rows;
}

sub compare_lsn {
	my ($left, $right) = map { my ($high, $low) = split /\//; hex($high) << 32 | hex $low } @_;
	return $left <=> $right;
}

1;
