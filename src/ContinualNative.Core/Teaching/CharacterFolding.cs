using System.Collections.Frozen;
using System.Text;

namespace ContinualNative.Core.Teaching;

/// <summary>
/// One form for characters that are written in several: what NFKC (Unicode Standard Annex 15) does, for the scripts whose models' answers differ by it.
/// Decision: programs with invariant globalization, as this server is, get texts back unchanged from <see cref="string.Normalize()"/>: the
/// platform's tables are not there. So this has the part of them that matters: letters of Latin with one accent, Hangul, full-width
/// forms, ligatures, small digits and spaces. Everything else stays as it is, on both sides of a comparison.
/// </summary>
internal static class CharacterFolding
{
    // Combining mark, then pairs of base and composed letter.
    private static readonly string[] Composed =
    [
        "\u0300AÀEÈIÌNǸOÒUÙaàeèiìnǹoòuùWẀwẁYỲyỳ",
        "\u0301AÁCĆEÉIÍLĹNŃOÓRŔSŚUÚYÝZŹaácćeéiílĺnńoórŕsśuúyýzźGǴgǵKḰkḱMḾmḿPṔpṕWẂwẃ",
        "\u0302AÂCĈEÊGĜHĤIÎJĴOÔSŜUÛWŴYŶaâcĉeêgĝhĥiîjĵoôsŝuûwŵyŷZẐzẑ",
        "\u0303AÃEẼIĨNÑOÕUŨaãeẽiĩnñoõuũVṼvṽYỸyỹ",
        "\u0304AĀEĒIĪOŌUŪaāeēiīoōuūYȲyȳGḠgḡ",
        "\u0306AĂEĔGĞIĬOŎUŬaăeĕgğiĭoŏuŭ",
        "\u0307CĊEĖGĠIİZŻcċeėgġzżAȦaȧOȮoȯNṄnṅSṠsṡTṪtṫ",
        "\u0308AÄEËIÏOÖUÜYŸaäeëiïoöuüyÿHḦhḧWẄwẅXẌxẍ",
        "\u0309AẢaảEẺeẻIỈiỉOỎoỏUỦuủYỶyỷ",
        "\u030AAÅUŮaåuůwẘyẙ",
        "\u030BOŐUŰoőuű",
        "\u030CCČDĎEĚLĽNŇRŘSŠTŤZŽAǍIǏOǑUǓGǦKǨcčdďeělľnňrřsštťzžaǎiǐoǒuǔgǧkǩjǰ",
        "\u0323AẠaạEẸeẹIỊiịOỌoọUỤuụYỴyỵDḌdḍHḤhḥLḶlḷNṆnṇRṚrṛSṢsṣTṬtṭ",
        "\u0326SȘTȚsștț",
        "\u0327CÇGĢKĶLĻNŅRŖSŞTŢEȨcçgģkķlļnņrŗsştţeȩ",
        "\u0328AĄEĘIĮUŲOǪaąeęiįuųoǫ",
        "\u3099かがきぎくぐけげこごさざしじすずせぜそぞただちぢつづてでとどはばひびふぶへべほぼカガキギクグケゲコゴサザシジスズセゼソゾタダチヂツヅテデトドハバヒビフブヘベホボウヴ",
        "\u309Aはぱひぴふぷへぺほぽハパヒピフプヘペホポ",
    ];

    private static readonly FrozenDictionary<(char Base, char Mark), char> Pairs = MakePairs();

    /// <summary>The text in one form; the same instance when nothing changes.</summary>
    public static string Fold(string text)
    {
        if (System.Text.Ascii.IsValid(text))
        {
            return text;
        }
        StringBuilder result = new(text.Length);
        foreach (char c in text)
        {
            if (Wide(c) is { } wide)
            {
                result.Append(wide);
            }
            else if (c is >= '\uFF01' and <= '\uFF5E')
            {
                result.Append((char)(c - 0xFEE0));
            }
            else if (result.Length > 0 && Compose(result[^1], c) is { } composed)
            {
                result[^1] = composed;
            }
            else
            {
                result.Append(c);
            }
        }
        return result.ToString();
    }

    private static string? Wide(char c) => c switch
    {
        'ﬀ' => "ff",
        'ﬁ' => "fi",
        'ﬂ' => "fl",
        'ﬃ' => "ffi",
        'ﬄ' => "ffl",
        'ﬅ' or 'ﬆ' => "st",
        '…' => "...",
        '²' => "2",
        '³' => "3",
        '¹' => "1",
        '⁰' => "0",
        'ⁱ' => "i",
        >= '⁴' and <= '⁹' => ((char)(c - '⁴' + '4')).ToString(),
        >= '₀' and <= '₉' => ((char)(c - '₀' + '0')).ToString(),
        'ª' => "a",
        'º' => "o",
        '™' => "TM",
        '№' => "No",
        '℃' => "°C",
        '℉' => "°F",
        '\u212B' => "Å",
        '\u2126' => "Ω",
        '\u00B5' => "μ",
        'ŉ' => "ʼn",
        'ĳ' => "ij",
        'Ĳ' => "IJ",
        '½' => "1⁄2",
        '¼' => "1⁄4",
        '¾' => "3⁄4",
        '￥' => "¥",
        '￡' => "£",
        '￠' => "¢",
        '￦' => "₩",
        '\u00A0' or (>= '\u2000' and <= '\u200A') or '\u202F' or '\u205F' or '\u3000' => " ",
        _ => null,
    };

    // Unicode Standard, section 3.12: a leading consonant and a vowel make a syllable, which a trailing consonant may close.
    private static char? Compose(char before, char c)
    {
        if (before is >= '\u1100' and <= '\u1112' && c is >= '\u1161' and <= '\u1175')
        {
            return (char)(0xAC00 + ((((before - 0x1100) * 21) + (c - 0x1161)) * 28));
        }
        if (before is >= '\uAC00' and <= '\uD7A3' && (before - 0xAC00) % 28 == 0 && c is > '\u11A7' and <= '\u11C2')
        {
            return (char)(before + (c - 0x11A7));
        }
        return Pairs.TryGetValue((before, c), out char composed) ? composed : null;
    }

    private static FrozenDictionary<(char, char), char> MakePairs()
    {
        Dictionary<(char, char), char> pairs = [];
        foreach (string line in Composed)
        {
            for (int i = 1; i + 1 < line.Length; i += 2)
            {
                pairs.Add((line[i], line[0]), line[i + 1]);
            }
        }
        return pairs.ToFrozenDictionary();
    }
}
