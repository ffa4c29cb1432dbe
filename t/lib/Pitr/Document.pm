# The local documents of a data directory, pitr.catalog, pitr.archive-failure and pitr.check, as docs/format.md describes them: read
# and written independently of the programs.
#
#   my $mirror = Pitr::Document::read_document("$data/pitr.catalog");    # decoded, or undef: there is none
#   Pitr::Document::write_document("$data/pitr.catalog", $mirror);       # kind and version from the name, or given
#   Pitr::Document::age_mirror($data, 120);                              # as if it had been written so many seconds ago
package Pitr::Document;

use strict;
use warnings;

use JSON::PP ();

my %kinds = ('pitr.catalog' => 'pitr-catalog', 'pitr.archive-failure' => 'pitr-archive-failure',
	'pitr.check' => 'pitr-check');
my @crc_table = map {
	my $crc = $_;
	$crc = $crc & 1 ? $crc >> 1 ^ 0x82F63B78 : $crc >> 1 for 1 .. 8;
	$crc;
} 0 .. 255;

sub crc32c {
	my ($text) = @_;
	my $crc = 0xFFFFFFFF;
	$crc = $crc >> 8 ^ $crc_table[ ($crc ^ $_) & 0xFF ] for unpack 'C*', $text;
	return $crc ^ 0xFFFFFFFF;
}

sub kind_of { my ($path) = @_; return $kinds{ $path =~ s{.*/}{}r } // die "\"$path\" is no local document\n" }

# Dies of one that is not whole.
sub read_document {
	my ($path) = @_;
	open my $file, '<:raw', $path or return;
	local $/;
	my $text = <$file>;
	my ($kind, $version, $size, $crc, $body) = $text =~ /\A(\S+) (\d+) (\d+) ([0-9a-f]{8})\n(.*)\z/s
	  or die "\"$path\" has no envelope\n";
	die "\"$path\" is of kind $kind\n" if $kind ne kind_of($path);
	die "\"$path\" is cut or damaged\n" if $size != length $body || hex($crc) != crc32c($body);
	return JSON::PP->new->utf8->allow_bignum(0)->decode($body);
}

sub write_document {
	my ($path, $document, $version) = @_;
	my $body = JSON::PP->new->utf8->canonical->encode($document);
	open my $file, '>:raw', "$path.new" or die "could not write \"$path.new\": $!\n";
	printf $file "%s %d %d %08x\n%s", kind_of($path), $version // 1, length $body, crc32c($body), $body;
	close $file or die "could not write \"$path.new\": $!\n";
	rename "$path.new", $path or die "could not replace \"$path\": $!\n";
	return;
}

sub age_mirror {
	my ($data, $seconds) = @_;
	my $path   = "$data/pitr.catalog";
	my $mirror = read_document($path) // die "there is no \"$path\"\n";
	$mirror->{written_us} -= $seconds * 1_000_000;
	write_document($path, $mirror);
	utime time - $seconds, time - $seconds, $path or die "could not age \"$path\": $!\n";
	return $mirror;
}

1;
