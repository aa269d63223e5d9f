"""What a result says about itself to any program that reads pictures: XMP and the Software field.

Source: IPTC Photo Metadata Standard (property Digital Source Type and its NewsCodes vocabulary);
XMP specification part 3 (the PNG chunk). The packet has no date, so that equal work gives equal
bytes.
"""

from __future__ import annotations

from importlib.metadata import version
from xml.sax.saxutils import escape, quoteattr

XMP_CHUNK = "XML:com.adobe.xmp"  # keyword of the iTXt chunk that holds XMP
SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeSynthetic"
DESCRIPTION = "Synthetic composite of portraits; not a photograph of a real scene"

PACKET = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about=""
 xmlns:dc="http://purl.org/dc/elements/1.1/"
 xmlns:xmp="http://ns.adobe.com/xap/1.0/"
 xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
 dc:format="image/png"
 xmp:CreatorTool={tool}
 Iptc4xmpExt:DigitalSourceType={source}>
<dc:description><rdf:Alt>
<rdf:li xml:lang="x-default">{description}</rdf:li>
</rdf:Alt></dc:description>
</rdf:Description>
</rdf:RDF>
</x:xmpmeta>
<?xpacket end="r"?>"""


def software() -> str:
    """This program with its version, as pictures name what made them."""
    return f"Barbershop {version('barbershop')}"


def xmp_packet(tool: str) -> str:
    """The XMP of a result that `tool` made."""
    return PACKET.format(
        tool=quoteattr(tool), source=quoteattr(SOURCE_TYPE), description=escape(DESCRIPTION)
    )
