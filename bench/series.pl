# The points of one series as gnuplot reads them: x, then wall seconds of pitr and of pgBackRest for each job.
#
#   perl bench/series.pl RAW SERIES JOB...
use strict;
use warnings;

my ($raw, $series, @jobs) = @ARGV;
my %values;
open my $file, '<', $raw or die "could not open \"$raw\": $!\n";
while (<$file>) {
	chomp;
	my ($job, $data, undef, $tool, undef, $wall) = split /\t/;
	next if $wall !~ /^[\d.]+$/ || $data !~ /:\Q$series\E=([\d.]+)$/;
	push @{ $values{$1}{$job}{$tool} }, $wall;
}
die "there is no series \"$series\" in \"$raw\"\n" unless %values;

sub median {
	my @sorted = sort { $a <=> $b } @{ $_[0] // [] };
	return @sorted ? ($sorted[$#sorted / 2] + $sorted[@sorted / 2]) / 2 : 'NaN';
}

for my $x (sort { $a <=> $b } keys %values) {
	print join(' ', $x, map { my $job = $_; map { median($values{$x}{$job}{$_}) } qw(pitr pgbackrest) } @jobs), "\n";
}
