# Many independent checks, done by a few processes at once, each with a place of its own to work in.
#
#   Pitr::Pool::run(processes => 2, place => sub { my ($number) = @_; ... }, checks => [ [title, sub { my ($place) = @_; ... }], ... ]);
#
# A check returns undef, or what is wrong; each becomes one test of the caller. Places are made before the processes are.
package Pitr::Pool;

use strict;
use warnings;

use IO::Select;
use JSON::PP ();
use POSIX ();
use Test::More ();

sub run {
	my (%what) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my @checks = @{ $what{checks} };
	my @places = map { $what{place}->($_) } 1 .. $what{processes};
	my @workers = map { _begin($places[$_], $_, scalar @places, @checks) } 0 .. $#places;
	my %number_left = map { $_ => 1 } 0 .. $#checks;
	my $select = IO::Select->new(map { $_->{pipe} } @workers);
	while ($select->count) {
		for my $pipe ($select->can_read) {
			my $line = <$pipe>;    # a second one that waits in the buffer is taken with the next, at the latest at the end
			defined $line or $select->remove($pipe), next;
			my $answer = JSON::PP::decode_json($line);
			delete $number_left{ $answer->{number} };
			Test::More::ok(!defined $answer->{wrong}, $checks[ $answer->{number} ][0]) or Test::More::diag($answer->{wrong});
		}
	}
	waitpid $_->{pid}, 0 for @workers;
	Test::More::fail("$checks[$_][0]: its process died") for sort { $a <=> $b } keys %number_left;
	return;
}

# Every so many-th check.
sub _begin {
	my ($place, $first, $step, @checks) = @_;
	my $parent = $$;
	pipe my $reader, my $writer or die "could not make a pipe: $!\n";
	my $pid = fork // die "could not fork: $!\n";
	if ($pid != 0) {
		close $writer;
		return { pid => $pid, pipe => $reader };
	}
	close $reader;
	$writer->autoflush(1);
	open STDOUT, '>', '/dev/null';    # the parent says what comes of it
	alarm($ENV{TEST_PITR_SECONDS_MAX} // 900);
	local $SIG{ALRM} = 'DEFAULT';
	for (my $number = $first; $number < @checks && getppid == $parent; $number += $step) {
		my $wrong = eval { $checks[$number][1]->($place) };
		$wrong = "died: $@" if $@;
		print $writer JSON::PP::encode_json({ number => $number, wrong => $wrong }), "\n";
	}
	POSIX::_exit(0);
}

1;
