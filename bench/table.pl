# The table of a run: medians of each tool side by side, the ratios, and whether the targets are met.
#
#   perl bench/table.pl TARGETS RAW       both tab-separated: see targets.tsv and measurement.sh
use strict;
use warnings;

my @columns = qw(job data place tool repeat wall cpu server peak stored requests);
my %shown = (limit => 'plain tools', module => 'pitr_archive', basic => 'basic_archive');

sub rows {
	my ($path, @names) = @_;
	open my $file, '<', $path or die "could not open \"$path\": $!\n";
	return map { chomp; my %row; @row{@names} = split /\t/; \%row } grep { !/^#/ } <$file>;
}

sub median {
	my @values = sort { $a <=> $b } grep { /^[-+.\de]+$/ && /\d/ } @_;
	return @values ? ($values[$#values / 2] + $values[@values / 2]) / 2 : undef;
}

# job, data, place => tool => column => median
my (%median, @order);
{
	my %values;
	for my $row (rows($ARGV[1], @columns)) {
		my $what = join "\t", @$row{qw(job data place)};
		push @order, $what unless $values{$what};
		push @{ $values{$what}{ $row->{tool} }{$_} }, $row->{$_} for @columns[5 .. 10];
		$values{$what}{ $row->{tool} }{failed}++ if $row->{wall} eq 'failed';
	}
	for my $what (@order) {
		for my $tool (keys %{ $values{$what} }) {
			my $of = $values{$what}{$tool};
			$median{$what}{$tool} = { map { $_ => median(@{ $of->{$_} }) } @columns[5 .. 10] };
			my $one = $median{$what}{$tool};
			$one->{total} = $one->{cpu} + $one->{server} if defined $one->{cpu} && defined $one->{server};
			$one->{failed} = $of->{failed};
			$one->{count} = @{ $of->{wall} };
		}
	}
}

sub number {
	my ($format, $value, $unit) = @_;
	return defined $value ? sprintf($format, $value / ($unit // 1)) : '-';
}

sub ratio {
	my ($left, $right) = @_;
	return defined $left && defined $right && $right > 0 ? $left / $right : undef;
}

printf "%-9s %-10s %-8s %-12s %3s %9s %8s %8s %8s %9s %8s   %s\n", 'job', 'data', 'place', 'tool', 'n', 'wall s', 'CPU s',
	'server s', 'peak MB', 'stored MB', 'requests', 'wall and CPU beside pgBackRest';
for my $what (@order) {
	my $tools = $median{$what};
	for my $tool (grep { $tools->{$_} } qw(pitr module pgbackrest basic limit)) {
		my $one = $tools->{$tool};
		my ($wall, $cpu) = map { ratio($one->{$_}, $tools->{pgbackrest}{$_}) } qw(wall cpu);
		printf "%-9s %-10s %-8s %-12s %3d %9s %8s %8s %8s %9s %8s   %s\n", split(/\t/, $what), $shown{$tool} // $tool,
			$one->{count}, number('%.3f', $one->{wall}), number('%.2f', $one->{cpu}), number('%.2f', $one->{server}),
			number('%.0f', $one->{peak}, 1e6 / 1024), number('%.1f', $one->{stored}, 1e6), number('%.0f', $one->{requests}),
			($one->{failed} ? 'FAILED ' : '')
			. ($tool eq 'pgbackrest' ? '' : number('%.2f', $wall) . '  ' . number('%.2f', $cpu));
	}
}

# --- segments a second of a server ---------------------------------------------------------------------------------------
my @of_server = grep { /^server\t/ } @order;
printf "\n%-10s %-9s %18s %18s %18s   %s\n", 'archived', 'place', 'pitr_archive', 'pitr-archive %p', 'basic_archive',
  'the module beside both' if @of_server;
for my $what (@of_server) {
	my (undef, $data, $place) = split /\t/, $what;
	my ($count) = $data =~ /^(\d+)x/;
	my ($module, $command, $basic) = map { ratio($count, $median{$what}{$_}{wall}) } qw(module pitr basic);
	printf "%-10s %-9s %16s/s %16s/s %16s/s   %s\n", $data, $place, (map { number('%.1f', $_) } $module, $command, $basic),
	  join '  ', map { number('%.2f', ratio($module, $_)) } $command, $basic;
}

# --- targets --------------------------------------------------------------------------------------------------------
sub reached {
	my ($target) = @_;
	my $tools = $median{ join "\t", @$target{qw(job data place)} } or return undef;
	my $ours = $tools->{pitr}{ $target->{what} } // return undef;
	if ($target->{what} eq 'requests') {
		# Beyond ten, for 16 MB stored.
		return $tools->{pitr}{stored} ? ($ours - 10) / ($tools->{pitr}{stored} / 16777216) : undef;
	}
	return $target->{what} eq 'peak' ? $ours * 1024 : $ours if $target->{beside} eq '-';
	# Backups of plain tools do not depend on the place.
	my $theirs = $tools->{ $target->{beside} }{ $target->{what} };
	return ratio($ours, $theirs);
}

print "\ntargets\n";
for my $target (rows($ARGV[0], qw(job data place what beside most))) {
	my $is = reached($target) // next;
	my $format = $target->{most} >= 1000 ? '%.0f' : '%.4g';
	printf "%-9s %-10s %-8s %-8s %-18s at most %-10s is %-10s %s\n", @$target{qw(job data place what)},
		($target->{beside} eq '-' ? '' : 'beside ' . ($shown{ $target->{beside} } // $target->{beside})),
		$target->{most}, sprintf($format, $is), $is <= $target->{most} ? 'yes' : 'NO';
}
