namespace ContinualNative.Engine;

/// <summary>What the machine's processor offers.</summary>
internal static class Processor
{
    /// <summary>Physical cores that this process may use: compute threads beyond them only get in each other's way.</summary>
    public static int PhysicalCores()
    {
        int logical = Environment.ProcessorCount;
        if (logical <= 2)
        {
            return logical;
        }
        try
        {
            const string Smt = "/sys/devices/system/cpu/smt/active";
            if (File.Exists(Smt) && File.ReadAllText(Smt).Trim() == "1")
            {
                return Math.Max(1, logical / 2);
            }
        }
        catch (IOException)
        {
            // A machine that does not say: all of them.
        }
        return logical;
    }
}
