using ContinualNative.Storage.Codecs;
using ContinualNative.Storage.Sqlite;
using Microsoft.Data.Sqlite;

namespace ContinualNative.Storage.Schema;

/// <summary>A known text in the file, encrypted, so that a wrong key is noticed when the store is opened and not with the first text that somebody needs.</summary>
internal static class CipherCheck
{
    private const string Known = "continual";

    // It belongs to no request.
    private static readonly byte[] NoRequest = new byte[RequestId.Bytes];

    /// <summary>Throws <see cref="StoreException"/> when texts in the file were encrypted with another key.</summary>
    public static void Verify(StoreOptions options, TextCodec texts)
    {
        try
        {
            using Session session = DatabaseFile.OpenWriter(options.Path, options.BusyTimeout);
            byte[]? stored = null;
            using (Statement.Rows rows = session.Prepared("SELECT value FROM meta WHERE name = 'cipher'").Open())
            {
                if (rows.Next())
                {
                    stored = rows.Blob(0).ToArray();
                }
            }
            if (stored is not null && texts.DecodeText(stored, NoRequest, TextColumn.Prompt) != Known)
            {
                throw StoreErrors.WrongKey(options.Path);
            }
            if (options.Cipher is not null)
            {
                // Written anew each time: the key may have a new version.
                session.Prepared("INSERT INTO meta VALUES ('cipher', ?1) ON CONFLICT DO UPDATE SET value = excluded.value")
                    .Bind(1, texts.Encode(Known, NoRequest, TextColumn.Prompt)).Run();
            }
        }
        catch (SqliteException e)
        {
            throw StoreErrors.Wrap(e, options.Path);
        }
    }
}
