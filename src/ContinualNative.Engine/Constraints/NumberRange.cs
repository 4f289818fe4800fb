using System.Globalization;
using System.Numerics;

namespace ContinualNative.Engine.Constraints;

/// <summary>
/// The decimal numbers between two bounds as a GBNF expression, digit by digit. Numbers are counted in units of 10^−15, the finest
/// that a bounded number is written in, so that an exclusive bound is the inclusive one a unit further in.
/// </summary>
internal static class NumberRange
{
    /// <summary>Fraction digits at most.</summary>
    public const int Fraction = 15;

    /// <summary>Integer digits at most where no bound says otherwise: any such integer fits in an Int64.</summary>
    public const int Digits = 18;

    // Bounds beyond this many integer digits are refused.
    private const int MaxDigits = 40;

    public static readonly BigInteger Unit = BigInteger.Pow(10, Fraction);

    /// <summary>Reads a JSON number exactly, in units of 10^−15; false where it is too large or too fine.</summary>
    public static bool TryParse(string json, out BigInteger units)
    {
        units = default;
        int exponentAt = json.AsSpan().IndexOfAny('e', 'E');
        ReadOnlySpan<char> mantissa = exponentAt < 0 ? json : json.AsSpan(0, exponentAt);
        int exponent = 0;
        if (exponentAt >= 0 && !int.TryParse(json.AsSpan(exponentAt + 1), NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out exponent))
        {
            return false;
        }

        int point = mantissa.IndexOf('.');
        int fraction = point < 0 ? 0 : mantissa.Length - point - 1;
        string digits = point < 0 ? mantissa.ToString() : string.Concat(mantissa[..point], mantissa[(point + 1)..]);
        if (digits.Length > 200 || exponent is > 200 or < -200
            || !BigInteger.TryParse(digits, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out BigInteger value))
        {
            return false;
        }

        int shift = exponent - fraction + Fraction;
        if (shift >= 0)
        {
            units = value * BigInteger.Pow(10, shift);
        }
        else
        {
            units = BigInteger.DivRem(value, BigInteger.Pow(10, -shift), out BigInteger lost);
            if (!lost.IsZero)
            {
                return false;
            }
        }

        return BigInteger.Abs(units) < BigInteger.Pow(10, MaxDigits + Fraction);
    }

    /// <summary>
    /// The numbers from <paramref name="low"/> to <paramref name="high"/>, both inclusive, in units of 10^−15 and null where open;
    /// null where there are none.
    /// </summary>
    public static string? Expression(BigInteger? low, BigInteger? high, bool integer)
    {
        BigInteger limit = BigInteger.Pow(10, Digits + Fraction) - 1;
        BigInteger lo = low ?? -Wider(high is { } h ? -h : 0, limit);
        BigInteger hi = high ?? Wider(low ?? 0, limit);
        if (integer)
        {
            lo = CeilingToUnit(lo);
            hi = -CeilingToUnit(-hi);
        }

        if (lo > hi)
        {
            return null;
        }

        BigInteger smallest = integer ? Unit : 1;
        var alternatives = new List<string>();
        if (hi >= 0)
        {
            AddMagnitudes(alternatives, "", BigInteger.Max(lo, 0), hi, integer);
        }

        if (lo < 0)
        {
            AddMagnitudes(alternatives, "\"-\" ", BigInteger.Max(-hi, smallest), -lo, integer);
        }

        return string.Join(" | ", alternatives);
    }

    // Where one side is open and the other lies beyond the usual digits, one more digit than the bound has.
    private static BigInteger Wider(BigInteger bound, BigInteger limit) => bound < limit ? limit : bound * 10;

    private static BigInteger CeilingToUnit(BigInteger value)
    {
        BigInteger quotient = BigInteger.DivRem(value, Unit, out BigInteger rest);
        return (rest.Sign > 0 ? quotient + 1 : quotient) * Unit;
    }

    private static void AddMagnitudes(List<string> alternatives, string sign, BigInteger low, BigInteger high, bool integer)
    {
        for (int length = 1; length <= MaxDigits + 2; length++)
        {
            BigInteger first = length == 1 ? 0 : BigInteger.Pow(10, length - 1 + Fraction);
            BigInteger last = BigInteger.Pow(10, length + Fraction) - 1;
            BigInteger lo = BigInteger.Max(low, first);
            BigInteger hi = BigInteger.Min(high, last);
            if (lo <= hi)
            {
                string loText = lo.ToString(CultureInfo.InvariantCulture).PadLeft(length + Fraction, '0');
                string hiText = hi.ToString(CultureInfo.InvariantCulture).PadLeft(length + Fraction, '0');
                int total = integer ? length : length + Fraction;
                alternatives.Add((sign + new Walk(loText[..total], hiText[..total], length).From(0, true, true)).TrimEnd());
            }
        }
    }

    /// <summary>Digits between two texts of equal length, of which the first <paramref name="integerDigits"/> stand before the point.</summary>
    private sealed class Walk(string low, string high, int integerDigits)
    {
        public string From(int at, bool tightLow, bool tightHigh)
        {
            tightLow = tightLow && !AllFrom(low, at, '0');
            tightHigh = tightHigh && !AllFrom(high, at, '9');
            if (at == low.Length)
            {
                return "";
            }

            if (!tightLow && !tightHigh)
            {
                return Free(at);
            }

            if (at < integerDigits)
            {
                return NextDigits(at, tightLow, tightHigh);
            }

            // All zeros from here is what stopping means: enough unless the lower bound still asks for more.
            string more = NextDigits(at, tightLow, tightHigh);
            more = at == integerDigits ? $"\".\" {more}" : more;
            return tightLow ? more : $"({more})?";
        }

        private static bool AllFrom(string digits, int at, char digit) => digits.AsSpan(at).IndexOfAnyExcept(digit) < 0;

        private string NextDigits(int at, bool tightLow, bool tightHigh)
        {
            char first = tightLow ? low[at] : '0';
            char last = tightHigh ? high[at] : '9';
            if (tightLow && tightHigh && first == last)
            {
                return Digit(first, first) + " " + From(at + 1, true, true);
            }

            var alternatives = new List<string>();
            if (tightLow)
            {
                alternatives.Add(Digit(first, first) + " " + From(at + 1, true, false));
                first++;
            }

            if (tightHigh)
            {
                alternatives.Add(Digit(last, last) + " " + From(at + 1, false, true));
                last--;
            }

            if (first <= last)
            {
                alternatives.Add(Digit(first, last) + " " + From(at + 1, false, false));
            }

            return alternatives.Count == 1 ? alternatives[0] : $"({string.Join(" | ", alternatives)})";
        }

        private string Free(int at)
        {
            int before = integerDigits - at;
            int after = low.Length - Math.Max(at, integerDigits);
            string text = before > 0 ? $"[0-9]{{{before}}}" : "";
            if (after == 0)
            {
                return text;
            }

            return at > integerDigits ? $"[0-9]{{0,{after}}}" : $"{text} (\".\" [0-9]{{1,{after}}})?".TrimStart();
        }

        private static string Digit(char first, char last) => first == last ? $"\"{first}\"" : $"[{first}-{last}]";
    }
}
