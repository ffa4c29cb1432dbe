# The local mirror of the catalog (docs/format.md, "Local documents"), written without the programs: right ones of any
# size, and every sort of wrong one.
#
#   my $mirror = Pitr::Mirror->new($node);                       a right document: two backups, one window
#   my $mirror = Pitr::Mirror->new($node, backups => 1000);
#   $mirror->{document}{branch} = 'other';                       what JSON it holds
#   $mirror->place;                                              into the data directory, by rename
#   $mirror->place(version => 2);                                with another envelope: kind, version, size, crc
#   Pitr::Mirror::place_bytes($node, $bytes);
package Pitr::Mirror;

use strict;
use warnings;

use JSON ();
use Pitr::Document;
use Time::HiRes ();

our $NAME = 'pitr.catalog';
my $SEGMENT_SIZE = 16 * 1024 * 1024;

sub lsn {
	my ($segment) = @_;
	my $position = $segment * $SEGMENT_SIZE;
	return sprintf '%X/%X', $position >> 32, $position & 0xFFFFFFFF;
}

sub backup {
	my ($number, $start_us) = @_;
	return {
		label => sprintf('20260101T%06dZ-%08x', $number, $number), kind => 'full', name => 'nightly', note => '', host => 'db1',
		started_us => $start_us, finished_us => $start_us + 60_000_000,
		start_lsn => lsn(2 + 10 * $number), stop_lsn => lsn(3 + 10 * $number),
		start_timeline => 1, stop_timeline => 1, segment_size => $SEGMENT_SIZE, server_version => 150020,
		from_standby => JSON::false, database_bytes => 1_000_000 + $number, stored_bytes => 300_000 + $number,
		files => 1000, checksum_failures => 0, status => 'complete', branch => 'main',
	};
}

# Options: backups => 2 (an hour apart, ten segments each), written_us => now, first_us => when the first one began.
sub new {
	my ($class, $node, %options) = @_;
	my $count  = $options{backups} // 2;
	my $first  = $options{first_us} // 1_767_225_600_000_000;    # 2026-01-01
	my $hour   = 3_600_000_000;
	my @backups = map { backup($_, $first + $_ * $hour) } 0 .. $count - 1;
	# Each segment has ten commits, one every 36 seconds.
	my @marks = map {
		my $begin = $first + int($_ * $hour / 10);
		[ 2 + $_, 2 + $_, 50_000, 10, $begin, $begin + 9 * 36_000_000, (2 + $_) * $SEGMENT_SIZE + 4096, 700 + $_ * 10,
			$begin + 9 * 36_000_000 ];
	} 0 .. ($count > 100 ? 100 : $count) * 10 - 1;
	my %window = (
		branch => 'main', timeline => 1, earliest => '', latest => '', earliest_us => $first + 60_000_000,
		latest_us => @marks ? $marks[-1][8] : $first, earliest_lsn => lsn(3), latest_lsn => lsn(3 + @marks),
		label => $count ? $backups[0]{label} : '', labels => [ map { $_->{label} } @backups ], backups => $count,
		segments => scalar @marks, commits => 10 * @marks, last_segment => '', end => 'end of archive', gaps => 0,
		is_end => JSON::true, is_proposed => JSON::true, segment_size => $SEGMENT_SIZE, first_segment_number => 2,
		marks => \@marks,
	);
	my $self = bless { node => $node, document => {
		written_us => $options{written_us} // int(Time::HiRes::time() * 1_000_000), written_by => 'test', host => 'db1',
		repository => 's3://bucket/prefix', repository_id => '0' x 32, cluster => 'main',
		system_identifier => $options{system_identifier} // system_identifier($node), branch => 'main',
		settings => q{ --repo='s3://bucket/prefix'}, backups => \@backups, windows => $count ? [ \%window ] : [],
		gaps => [], unknown_timelines => [], production => 'main',
		restore_points => [ map { { name => "point $_", lsn => lsn(5 + $_), created_us => $first + $_ * $hour,
					timeline => 1, branch => 'main' } } 1 .. 2 ],
		restore_points_omitted => 0,
	} }, $class;
	return $self;
}

sub system_identifier {
	my ($node) = @_;
	return $node->{pitr_system_identifier} //= $node->query('SELECT system_identifier FROM pg_control_system()');
}

# The file's bytes. Options change the envelope.
sub bytes {
	my ($self, %envelope) = @_;
	my $text = JSON->new->utf8->canonical->encode($self->{document});
	return envelope($text, %envelope);
}

sub envelope {
	my ($text, %change) = @_;
	return sprintf("%s %s %s %s\n", $change{kind} // 'pitr-catalog', $change{version} // 1, $change{size} // length $text,
		$change{crc} // sprintf '%08x', Pitr::Document::crc32c($text)) . $text;
}

sub place {
	my ($self, %envelope) = @_;
	return place_bytes($self->{node}, $self->bytes(%envelope));
}

sub place_bytes {
	my ($node, $bytes, $name) = @_;
	my $path = $node->data_dir . '/' . ($name // $NAME);
	open my $file, '>:raw', "$path.new" or die "could not create \"$path.new\": $!\n";
	print $file $bytes;
	close $file or die "could not write \"$path.new\": $!\n";
	rename "$path.new", $path or die "could not place \"$path\": $!\n";
	return $path;
}

1;
