using ContinualNative.Host.Commands;

return await CommandLine.RunAsync(args);
