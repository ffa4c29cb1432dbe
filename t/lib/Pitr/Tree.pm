# A tree of timelines, as its servers wrote it: the truth about targets on any of its branches.
#
#   my $tree = Pitr::Tree->new;
#   my $first = $tree->line(branch => 'main', timeline => 1, node => $node);
#   $tree->backup($entry, $first);                    # of `pitr-catalog --json list`
#   my $second = $tree->line(branch => 'main', timeline => 2, node => $promoted, parent => $first);
#   $tree->close($first);                             # its server stops; what it wrote and archived is known now
#   my $outcome = $tree->outcome({ kind => 'time', time => '2026-01-01 12:00:00.000000' });
#
# It knows every record of every timeline (pg_waldump), which segments PostgreSQL saw archived (archive_status), where a
# timeline began (the history file that PostgreSQL wrote), and the rows of every transaction (asked from the server that
# committed them). It asks pitr nothing but where a backup begins and ends.
#
# Where PostgreSQL stops (recoveryStopsBefore() and recoveryStopsAfter() of xlogrecovery.c, the same in 15 to 18), of the
# records from the backup's redo location on:
#   time       before the first commit or abort, prepared ones too, whose time is past the target; exclusive: at or past it
#   LSN        after the first record that begins at the target or behind it; exclusive: before it
#   xid        after the commit or abort of just that transaction, not of one whose subtransaction it is; exclusive: before
#   name       after the restore point
#   immediate  before the first record behind the end of the backup
# It fails where no record stops it, and where that record lies before the end of the backup.
#
# What is right for a restore, beyond that (these are the promises of pitr-restore):
#   - A backup serves when it lies whole on the path and ends before the target: by its LSN; for a time, by when it
#     finished, and when no commit or abort before its end is past the target. The one that ends last is taken.
#   - A time behind the last commit or abort of the archive, an LSN behind its last record but within it: all of it.
#   - A restore point is looked for behind the newest backup, then behind the one before, and so on; a name that is there
#     twice is for the user to tell apart.
#   - Without --target-timeline every timeline of a branch that may be proposed comes into question, and the target must
#     mean the same on all that contain it: for a time and no target the same last commit, else the same record. A time
#     that none contains is looked for at the ends. The end of a backup without more is that of the newest one of the
#     production branch, or of the branch that was asked for. `latest` and no target are about ends alone: a timeline is
#     one when it is asked for, when no other of its branch left it, or when the archive has whole segments of it behind
#     the one in which the last left. Only at an end an unfinished segment (.partial) counts.
package Pitr::Tree;

use strict;
use warnings;

use List::Util qw(first max);
use POSIX ();

sub new {
	my ($class, %options) = @_;
	return bless { segment_size => 1024 * 1024, lines => [], backups => [], production => 'main', %options }, $class;
}

sub lines   { return @{ $_[0]{lines} } }
sub backups { return @{ $_[0]{backups} } }

sub number_of {
	my ($high, $low) = split /\//, $_[0];
	return hex($high) << 32 | hex $low;
}

sub lsn_text { return sprintf '%X/%X', $_[0] >> 32, $_[0] & 0xFFFFFFFF }

# Times are text in UTC, as pg_waldump prints them, so that they compare as text: "2026-01-01 12:00:00.000000".
sub time_of_us {
	my ($us) = @_;
	return sprintf '%s.%06d', POSIX::strftime('%Y-%m-%d %H:%M:%S', gmtime int($us / 1_000_000)), $us % 1_000_000;
}

# --- what happened ---------------------------------------------------------------------------------------------------

# A timeline of a branch that a server has begun. With a parent, PostgreSQL's history file says where it left it.
sub line {
	my ($self, %line) = @_;
	my $line = { fork => 0, is_proposed => 1, %line };
	push @{ $self->{lines} }, $line;
	return $line unless $line->{parent};
	my $history = Pitr::read_file(sprintf '%s/pg_wal/%08X.history', $line->{node}->data_dir, $line->{timeline});
	my @last = (grep { /^\d/ } split /\n/, $history)[-1] =~ /^(\d+)\s+(\S+)/;
	die "the history of timeline $line->{timeline} is another one: $history\n" if $last[0] != $line->{parent}{timeline};
	$line->{fork} = number_of($last[1]);
	return $line;
}

# The timeline is over: all of it is archived, its server stops, and what it wrote is remembered.
sub close {
	my ($self, $line) = @_;
	for (split /\n/, $line->{node}->query('SELECT xid, id, md5(content) FROM oracle ORDER BY id')) {
		my ($xid, $id, $digest) = split /\|/;
		push @{ $line->{rows}{$xid} }, "$id|$xid|$digest";
	}
	$line->{node}->archive_all;
	$line->{node}->stop;
	return $self->_read_wal($line);
}

sub name { my ($line) = @_; return "$line->{branch}/$line->{timeline}" }

# The records of the timeline as far as they are archived.
sub _read_wal {
	my ($self, $line) = @_;
	my $wal = $line->{node}->data_dir . '/pg_wal';
	my $prefix = sprintf '%08X', $line->{timeline};
	opendir my $directory, "$wal/archive_status" or die "could not open archive_status: $!\n";
	my @segments = sort map { /^($prefix[0-9A-F]{16})\.done$/ ? $1 : () } readdir $directory;
	die "nothing of timeline $line->{timeline} was archived\n" unless @segments;
	$line->{end} = $self->_segment_start($segments[-1]) + $self->{segment_size};
	my $start = $line->{fork} - $line->{fork} % $self->{segment_size} || $self->_segment_start($segments[0]);
	local $ENV{TZ} = 'UTC';
	my (undef, $stdout, $stderr) = Pitr::run_program([ $line->{node}->bin . '/pg_waldump', '-p', $wal,
		'-t', $line->{timeline}, '-s', lsn_text($start) ]);
	my (@records, @unarchived);
	for (split /\n/, $stdout) {
		my ($manager, $size, $xid, $lsn, $what, $rest) =
		  /^rmgr: (\w+)\s+len.*?\/\s*(\d+), tx:\s+(\d+), lsn: (\S+), prev \S+ desc: (\w+) ?(.*)/ or next;
		my $record = { lsn => number_of($lsn), size => $size };
		_event($record, $manager, $what, $xid, $rest);
		push @{ $record->{lsn} < $line->{end} ? \@records : \@unarchived }, $record;
	}
	die "the archived WAL of timeline $line->{timeline} does not end with a switch: $stderr\n"
	  unless @records && $records[-1]{is_switch};
	@$line{qw(records unarchived)} = (\@records, \@unarchived);
	return $line;
}

# What the server of a line had not archived when it stopped is in the archive now, too, as a .partial: a way to the end
# of the line goes on through it.
sub drain {
	my ($self, $line) = @_;
	my @rest = @{ $line->{unarchived} } or return;
	my $last = $rest[-1];
	$line->{drained} = { %$line, records => [ @{ $line->{records} }, @rest ],
		end => $last->{lsn} + $last->{size} + (-$last->{size} & 7) };
	delete @{ $line->{drained} }{qw(path_records path_events)};
	return;
}

sub _segment_start {
	my ($self, $name) = @_;
	my ($log, $segment) = map { hex } $name =~ /^.{8}(.{8})(.{8})$/;
	return ($log << 32) + $segment * $self->{segment_size};
}

sub _event {
	my ($record, $manager, $what, $xid, $rest) = @_;
	$record->{is_switch} = 1 if $manager eq 'XLOG' && $what eq 'SWITCH';
	@$record{qw(kind name)} = ('point', $rest) if $manager eq 'XLOG' && $what eq 'RESTORE_POINT';
	return if $manager ne 'Transaction';
	@$record{qw(kind xid)} = ('prepare', $xid) if $what eq 'PREPARE';
	my ($outcome, $is_prepared) = $what =~ /^(COMMIT|ABORT)(_PREPARED)?$/ or return;
	$record->{kind} = lc $outcome;
	$record->{is_prepared} = defined $is_prepared;
	($record->{xid}) = $is_prepared ? $rest =~ /^(\d+):/ : $xid;
	($record->{time}) = $rest =~ /(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+) UTC/ or die "no time in: $what $rest\n";
	$record->{subs} = [ $rest =~ /subxacts:([\d ]+)/ ? split ' ', $1 : () ];
	return;
}

# A base backup of that timeline, as the catalog lists it.
sub backup {
	my ($self, $entry, $line) = @_;
	my $backup = { label => $entry->{label}, line => $line, start => number_of($entry->{start_lsn}),
		stop => number_of($entry->{stop_lsn}), finished_us => $entry->{finished_us},
		finished => time_of_us($entry->{finished_us}), started => time_of_us($entry->{started_us}) };
	push @{ $self->{backups} }, $backup;
	return $backup;
}

# --- paths -----------------------------------------------------------------------------------------------------------

# The lines from the root to this one.
sub ancestry {
	my ($line) = @_;
	return $line->{parent} ? (ancestry($line->{parent}), $line) : $line;
}

# The line on which an LSN lies, on the path to $line: the one that was left last at or before it.
sub owner_at {
	my ($line, $lsn) = @_;
	$line = $line->{parent} while $lsn < $line->{fork};
	return $line;
}

# All records on the way to the end of a line. PostgreSQL reads a segment in which it changes the timeline from the file
# of the younger one, which begins with a copy of the older.
sub records {
	my ($self, $line) = @_;
	return $line->{path_records} if $line->{path_records};
	my @own = @{ $line->{records} };
	my @all = @own;
	if (my $parent = $line->{parent}) {
		my $from = $line->{fork} - $line->{fork} % $self->{segment_size};
		@all = ((grep { $_->{lsn} < $from } @{ $self->records($parent) }),
			(map { $_->{lsn} < $line->{fork} ? { %$_, line => owner_at($parent, $_->{lsn}) } : $_ } @own));
	}
	$_->{line} //= $line for @own;
	$line->{path_events} = [ grep { $_->{kind} } @all ];
	return $line->{path_records} = \@all;
}

sub events {
	my ($self, $line) = @_;
	$self->records($line);
	return @{ $line->{path_events} };
}

sub ends { my ($self, $line) = @_; return grep { $_->{kind} =~ /^(?:commit|abort)$/ } $self->events($line) }

# The first record at or behind an LSN, and its place.
sub _record_at {
	my ($self, $line, $lsn) = @_;
	my $records = $self->records($line);
	my ($low, $high) = (0, scalar @$records);
	while ($low < $high) {
		my $middle = int(($low + $high) / 2);
		if   ($records->[$middle]{lsn} < $lsn) { $low  = $middle + 1 }
		else                                   { $high = $middle }
	}
	return ($records->[$low], $low);
}

sub record_at     { my ($record) = $_[0]->_record_at(@_[1, 2]); return $record }

sub record_before {
	my ($self, $line, $lsn) = @_;
	my (undef, $place) = $self->_record_at($line, $lsn);
	return $place > 0 ? $self->records($line)->[ $place - 1 ] : undef;
}

sub last_commit {
	my ($self, $line, $upto) = @_;
	my $last;
	for ($self->events($line)) {
		last if $_->{lsn} > $upto;
		$last = $_ if $_->{kind} eq 'commit';
	}
	return $last;
}

# The rows that a server has which replayed everything up to the record at $upto.
sub rows {
	my ($self, $line, $upto) = @_;
	my @commits = grep { $_->{kind} eq 'commit' && $_->{lsn} <= $upto } $self->events($line);
	my @rows = map { @{ $_->{line}{rows}{ $_->{xid} } // [] } } @commits;
	return join "\n", sort { ($a =~ /^(\d+)/)[0] <=> ($b =~ /^(\d+)/)[0] } @rows;
}

# Backups on the path, the one that ends last first.
sub backups_on {
	my ($self, $line, $label) = @_;
	my %on = map { name($_) => 1 } ancestry($line);
	my $is_of = sub { my ($backup, $lsn) = @_; return name(owner_at($line, $lsn)) eq name($backup->{line}) };
	my @found = sort { $b->{stop} <=> $a->{stop} } grep {
		$on{ name($_->{line}) } && $is_of->($_, $_->{start}) && $is_of->($_, $_->{stop} - 1)
		  && (!defined $label || $_->{label} eq $label)
	} $self->backups;
	return @found;
}

sub is_end {
	my ($self, $line) = @_;
	my @children = grep { $_->{parent} && $_->{parent} == $line && $_->{branch} eq $line->{branch} } $self->lines;
	return 1 unless @children;
	my $last = max(map { $_->{fork} } @children);
	return $line->{end} > $last - $last % $self->{segment_size} + $self->{segment_size};
}

# --- targets ---------------------------------------------------------------------------------------------------------

sub _refused { my ($why) = @_; return { is_refused => 1, why => $why } }

# Everything up to the record at `upto` is replayed, from `backup`. `same` tells two outcomes apart.
sub _reached {
	my ($self, $line, $backup, $upto, %more) = @_;
	return { line => $line, backup => $backup, upto => $upto, contains => 1, commit => $self->last_commit($line, $upto),
		next => (first { $_->{lsn} > $upto } $self->ends($line)), %more };
}

sub _all {
	my ($self, $line, $backup, %more) = @_;
	return $self->_reached($line, $backup, $self->records($line)->[-1]{lsn}, is_at_end => 1, is_exact => 1, %more);
}

sub _commit_key { my ($commit) = @_; return $commit ? name($commit->{line}) . "/$commit->{lsn}" : 'none' }

sub _on_time {
	my ($self, $line, $target, @backups) = @_;
	for my $backup (@backups) {
		next if $backup->{finished} gt $target->{time};
		my $stop = first {
			$_->{lsn} >= $backup->{start}
			  && ($target->{exclusive} ? $_->{time} ge $target->{time} : $_->{time} gt $target->{time})
		} $self->ends($line);
		next if $stop && $stop->{lsn} < $backup->{stop};
		my $outcome = $stop ? $self->_reached($line, $backup, $stop->{lsn} - 1, stop => $stop)
		  : $self->_all($line, $backup, contains => 0, is_exact => 0);
		$outcome->{same} = _commit_key($outcome->{commit});
		return $outcome;
	}
	return _refused('no backup ends before that time');
}

sub _on_lsn {
	my ($self, $line, $target, @backups) = @_;
	my $backup = first { $_->{stop} <= $target->{lsn} } @backups or return _refused('no backup ends before that LSN');
	my $record = $self->record_at($line, $target->{lsn});
	my %same = (same => name(owner_at($line, $target->{lsn} - 1)) . "/$target->{lsn}");
	if ($record) {
		my $upto = $target->{exclusive} ? $record->{lsn} - 1 : $record->{lsn};
		return $self->_reached($line, $backup, $upto, is_exact => 1, %same);
	}
	return $self->_all($line, $backup, %same) if $target->{lsn} <= $line->{end};
	return _refused('behind the end of the archive');
}

sub _at_record {
	my ($self, $line, $record, $exclusive, @backups) = @_;
	my $backup = first { $_->{stop} <= $record->{lsn} } @backups or return _refused('no backup ends before that record');
	return $self->_reached($line, $backup, $exclusive ? $record->{lsn} - 1 : $record->{lsn}, is_exact => 1,
		same => _commit_key($record));
}

sub _on_xid {
	my ($self, $line, $target, @backups) = @_;
	my $record = first { $_->{xid} == $target->{xid} } $self->ends($line);
	return _refused('that transaction never ended') unless $record;
	return $self->_at_record($line, $record, $target->{exclusive}, @backups);
}

sub _on_name {
	my ($self, $line, $target, @backups) = @_;
	my @points = grep { $_->{kind} eq 'point' && $_->{name} eq $target->{name} } $self->events($line);
	for my $backup (@backups) {
		my @behind = grep { $_->{lsn} >= $backup->{stop} } @points or next;
		return @behind > 1 ? _refused('several restore points') : $self->_at_record($line, $behind[0], 0, $backup);
	}
	return _refused('no such restore point');
}

sub _on_immediate {
	my ($self, $line, $target, @backups) = @_;
	return $self->_reached($line, $backups[0], $backups[0]{stop} - 1, is_exact => 1, same => $backups[0]{label});
}

sub _on_latest {
	my ($self, $line, $target, @backups) = @_;
	return $self->_all($line, $backups[0], same => name($line));
}

# What one path makes of a target.
sub _on {
	my ($self, $line, $target) = @_;
	my @backups = $self->backups_on($line, $target->{backup}) or return _refused('no backup on that path');
	my $method = "_on_$target->{kind}";
	return $self->$method($line, $target, @backups);
}

# The lines that the options leave, and whether each counts as an end.
sub _choose_lines {
	my ($self, $target) = @_;
	my $asked  = $target->{timeline} // '';
	my ($chosen) = grep { defined $target->{backup} && $_->{label} eq $target->{backup} } $self->backups;
	my $newest = sub {
		my ($branch) = @_;
		return (sort { $b->{finished_us} <=> $a->{finished_us} } grep { $_->{line}{branch} eq $branch } $self->backups)[0];
	};
	my $of = $chosen // $newest->($self->{production});
	my @proposed = grep { $_->{is_proposed} || ($chosen && $_->{branch} eq $chosen->{line}{branch}) } $self->lines;
	my @with_backup = grep { $self->backups_on($_, $target->{backup}) } $self->lines;
	my $in = sub { my ($these, @lines) = @_; my %these = map { $_ => 1 } @$these; return grep { $these{$_} } @lines };
	my $ends = sub { return map { [ $_, $self->is_end($_) ] } @_ };

	return map { [ $_, 1 ] } $of->{line} if $asked eq 'current' || ($asked eq '' && $target->{kind} eq 'immediate');
	return map { [ $_, 1 ] } grep { $_->{timeline} == $asked } @proposed if $asked =~ /^\d+$/;
	return map { [ $_, 1 ] } grep { name($_) eq $asked } $self->lines if $asked =~ /\//;
	if ($asked eq 'latest') {
		my @lines = $in->(\@with_backup, $chosen ? @proposed : grep { $_->{branch} eq $self->{production} } $self->lines);
		my ($youngest) = sort { $b->{timeline} <=> $a->{timeline} } @lines;
		return $youngest ? [ $youngest, 1 ] : ();
	}
	if ($asked ne '') {
		my @lines = grep { $_->{branch} eq $asked } $self->lines;
		my $last = $newest->($asked);
		return [ $last->{line}, 1 ] if $target->{kind} eq 'immediate' && $last && !$chosen;
		return $ends->($in->(\@with_backup, @lines));
	}
	@proposed = grep { $_->{branch} eq $self->{production} } @proposed if $target->{kind} eq 'latest' && !$chosen;
	return $ends->($in->(\@with_backup, @proposed));
}

# What a restore must come to. A target is { kind => time|lsn|xid|name|immediate|latest, time|lsn|xid|name => what,
# exclusive => 1, timeline => as the option is given, backup => label }.
# Refused: { is_refused, why }. Reached: { line, backup, upto, commit, … } of the oldest line, and in `alike` all that
# lead to the same.
sub outcome {
	my ($self, $target) = @_;
	my @lines = $self->_choose_lines($target) or return _refused('no such timeline');
	my @of;
	for (@lines) {
		my ($line, $is_end) = @$_;
		push @of, { %{ $self->_on($is_end && $line->{drained} || $line, $target) }, is_end => $is_end };
	}
	if ($target->{kind} eq 'latest') {
		my @ends = grep { $_->{is_end} } @of;
		return _refused('several ends') if @ends > 1;
		return $ends[0] // _refused('no end');
	}
	my @reached = grep { !$_->{is_refused} } @of;
	for my $those ([ grep { $_->{contains} } @reached ], [ grep { $_->{is_end} } @reached ]) {
		my %different = map { $_->{same} => 1 } @$those;
		return _refused('ambiguous: ' . join ', ', map { name($_->{line}) } @$those) if keys %different > 1;
		return { %{ $those->[0] }, alike => $those } if @$those;
	}
	return $of[-1];
}

1;
