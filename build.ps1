#Requires -Version 7.4
<#
.SYNOPSIS
    Restores, builds, tests and publishes ContinualNative.
.DESCRIPTION
    The same steps as the README's commands, then a self-contained publish for each runtime identifier, into publish/<runtime>.
    The first build fetches the pinned llama.cpp with npm and compiles native/ with CMake.
.PARAMETER Configuration
    Debug or Release.
.PARAMETER Runtime
    Runtime identifiers to publish for, such as linux-x64; this machine's own when none is named. Another processor's needs a
    cross-compiler: see CMAKE_TOOLCHAIN_FILE in native/Native.targets.
.PARAMETER SkipTests
    Leaves the tests out.
.EXAMPLE
    ./build.ps1
.EXAMPLE
    ./build.ps1 -Configuration Debug -SkipTests -Runtime linux-x64
#>
[CmdletBinding()]
param(
    [ValidateSet('Debug', 'Release')]
    [string] $Configuration = 'Release',

    [ValidatePattern('^[a-z0-9]+(-[a-z0-9]+)+$')]
    [string[]] $Runtime = @([System.Runtime.InteropServices.RuntimeInformation]::RuntimeIdentifier),

    [switch] $SkipTests
)

Set-StrictMode -Version Latest
$ErrorActionPreference = 'Stop'

# A native program that fails does not stop a script by itself.
function Assert-Success {
    param([string] $Step)
    if ($LASTEXITCODE -ne 0) {
        Write-Host "$Step failed with exit code $LASTEXITCODE." -ForegroundColor Red
        exit $LASTEXITCODE
    }
}

Push-Location $PSScriptRoot
try {
    Write-Host '== restore'
    dotnet restore
    Assert-Success 'Restore'

    Write-Host "== build ($Configuration)"
    dotnet build -c $Configuration --no-restore -warnaserror
    Assert-Success 'Build'

    if (-not $SkipTests) {
        Write-Host '== test'
        dotnet test -c $Configuration
        Assert-Success 'Test'
    }

    foreach ($identifier in $Runtime) {
        Write-Host "== publish ($identifier)"
        dotnet publish src/ContinualNative.Host -c $Configuration -r $identifier --self-contained -p:EngineRuntime=$identifier -o "publish/$identifier"
        Assert-Success "Publish for $identifier"
    }
}
finally {
    Pop-Location
}
