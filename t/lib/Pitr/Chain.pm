# A long way through an archive: one base backup, and behind it many segments on three timelines, with one numbered row
# committed in each, so that a recovery that ended early cannot look whole.
#
#   my $chain = Pitr::Chain->make($node, $repo, 64);
#   $chain->names          the segments of the way, in order, each on the timeline it is replayed from
#   $chain->rows           the LSNs of the commit records of rows 1 .. N, as numbers
#   $chain->rows_before($position)    how many rows lie before that segment of the way
#   $chain->record_before($position, $distance)    the record so many before that segment: (LSN, rows committed by then)
package Pitr::Chain;

use strict;
use warnings;

use constant SEGMENT_SIZE => 1024 * 1024;
use constant FILLING => 24;    # further records in each segment

sub make {
	my ($class, $node, $repo, $length) = @_;
	my $self = bless { node => $node, repo => $repo, next => 1, switches => [] }, $class;
	$node->query('CREATE TABLE chain (number int PRIMARY KEY, xid bigint NOT NULL); CREATE TABLE filling (value int)');
	Pitr::run_ok([ 'pitr-basebackup', $repo->options, $node->connection, '--checkpoint=fast' ], 'a base backup');
	my ($backup) = @{ Pitr::run_json([ 'pitr-catalog', $repo->options, '--json', 'list' ], 'the backup is listed')->{backups} };
	$self->{first} = segment_of($backup->{start_lsn});
	my $third = int($length / 3);
	$self->extend($third);
	$self->promote(2)->extend($third);
	$self->promote(3)->extend($length - 2 * $third - 1);
	$self->{last} = segment_of($node->query('SELECT pg_current_wal_insert_lsn()')) - 1;
	Pitr::wait_until(sub { my @waiting = $node->waiting_wal; !@waiting }) or die "the archiver did not come to an end\n";
	$node->stop('immediate');    # nothing is archived behind the last row
	$self->read_way;
	return $self;
}

sub lsn_number { my ($high, $low) = split m{/}, $_[0]; return (hex($high) << 32) + hex $low }
sub segment_of { return int(lsn_number($_[0]) / SEGMENT_SIZE) }
sub segment_name { my ($timeline, $number) = @_; return sprintf '%08X%08X%08X', $timeline, $number >> 12, $number & 0xFFF }

sub row_sql {
	my ($self) = @_;
	return sprintf "INSERT INTO filling SELECT generate_series(1, %d); INSERT INTO chain VALUES (%d, txid_current());\n",
	  FILLING, $self->{next}++;
}

# One segment for each row.
sub extend {
	my ($self, $count) = @_;
	$self->{node}->safe_psql('postgres', join '', map { 'BEGIN; ' . $self->row_sql . "COMMIT; SELECT pg_switch_wal();\n" } 1 .. $count);
	return $self;
}

# The server dies with a row in a segment that is not full, and goes on with it on another timeline.
sub promote {
	my ($self, $timeline) = @_;
	my $node = $self->{node};
	$node->query('BEGIN; ' . $self->row_sql . 'COMMIT');
	$node->stop('immediate');
	Pitr::write_file($node->data_dir . '/standby.signal', '');
	$node->start;
	$node->query('SELECT pg_promote()');
	Pitr::wait_until(sub { $node->query('SELECT pg_is_in_recovery()') eq 'f' }) or die "no promotion\n";
	my ($switch) = Pitr::read_file($node->data_dir . sprintf '/pg_wal/%08X.history', $timeline) =~ /^\d+\t(\S+)\t[^\n]*\n\z/m;
	push @{ $self->{switches} }, segment_of($switch);
	return $self;
}

sub read_way {
	my ($self) = @_;
	my ($second, $third) = @{ $self->{switches} };
	$self->{names} = [ map { segment_name($_ >= $third ? 3 : $_ >= $second ? 2 : 1, $_) } $self->{first} .. $self->{last} ];
	my $number = 0;
	for my $position (0 .. $#{ $self->{names} }) {
		$self->{before}[$position] = $number;
		push @{ $self->{rows} }, map { lsn_number($_->[0]) } grep { $_->[1] } $self->records($position);
		$number = @{ $self->{rows} };
	}
	$number == $self->{next} - 1 or die "the way has $number rows, not " . ($self->{next} - 1) . "\n";
	return;
}

# The records of that segment: [LSN, does it commit a row?].
sub records {
	my ($self, $position) = @_;
	return @{ $self->{records}[$position] } if $self->{records}[$position];
	my ($node, $name) = ($self->{node}, $self->{names}[$position]);
	my $command = join ' ', map { "'$_'" } $node->bin . '/pg_waldump', '-p', $node->data_dir . '/pg_wal', $name, $name;
	my (%filled, @records);
	for (split /\n/, `$command 2>/dev/null`) {
		/^rmgr: (\S+).*tx:\s*(\d+), lsn: ([0-9A-F]+\/[0-9A-F]+),.*desc: (\w+)/ or next;
		$filled{$2}++ if $1 eq 'Heap' && $4 eq 'INSERT';
		push @records, [ $3, $4 eq 'COMMIT' && ($filled{$2} // 0) > FILLING ? 1 : 0 ];
	}
	@records or die "pg_waldump shows nothing of $name\n";
	return @{ $self->{records}[$position] = \@records };
}

sub names { return @{ $_[0]{names} } }
sub rows { return @{ $_[0]{rows} } }
sub count { return $_[0]{next} - 1 }                                   # of rows
sub rows_before { my ($self, $position) = @_; return $self->{before}[$position] }

# The positions with which a new timeline begins.
sub switches { my ($self) = @_; return map { $_ - $self->{first} } @{ $self->{switches} } }

sub record_before {
	my ($self, $position, $distance) = @_;
	my @records = $self->records($position - 1);
	die "there are not $distance records\n" if $distance > @records;
	my $rows = $self->rows_before($position - 1) + grep { $_->[1] } @records[ 0 .. @records - $distance ];
	return ($records[-$distance][0], $rows);
}

1;
